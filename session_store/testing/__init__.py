"""The contract of the port as tests, for everybody who writes a back end.

In a test module of your own:

    import pytest

    from session_store.testing import RepositoryContract

    class TestMyRepository(RepositoryContract):
        @pytest.fixture
        def repository(self, tmp_path):
            with MyRepository(tmp_path) as repository:
                yield repository  # fresh and empty for every test

        @pytest.fixture
        def reopen(self, tmp_path):  # only if the sessions outlive close()
            def close_and_open(repository):
                repository.close()
                return MyRepository(tmp_path)

            return close_and_open

``pytest`` then runs some hundreds of promises over ``MyRepository``. When all hold, it is a back
end. Nothing sleeps and nothing looks at the clock: time is an argument.
"""

from __future__ import annotations

from pkgutil import iter_modules

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))

from session_store.testing.appending import Appending  # noqa: E402 - after the rewriting
from session_store.testing.changing import Changing  # noqa: E402
from session_store.testing.checking import Checking  # noqa: E402
from session_store.testing.checkpoints import Checkpoints  # noqa: E402
from session_store.testing.closing import Closing, Reopen  # noqa: E402
from session_store.testing.committing import Committing, Deleting  # noqa: E402
from session_store.testing.concurrency import Concurrency  # noqa: E402
from session_store.testing.creating import Creating  # noqa: E402
from session_store.testing.expiring import Expiring  # noqa: E402
from session_store.testing.identities import Identities  # noqa: E402
from session_store.testing.keeping import Keeping  # noqa: E402
from session_store.testing.limits import Limits  # noqa: E402
from session_store.testing.listing import Listing  # noqa: E402
from session_store.testing.loading import Loading  # noqa: E402
from session_store.testing.moving import Moving  # noqa: E402
from session_store.testing.paging import Paging  # noqa: E402
from session_store.testing.sharing import Sharing  # noqa: E402
from session_store.testing.transitions import Transitions  # noqa: E402

__all__ = ["Reopen", "RepositoryContract"]


class RepositoryContract(
    Creating,
    Loading,
    Changing,
    Transitions,
    Appending,
    Checkpoints,
    Sharing,
    Committing,
    Deleting,
    Listing,
    Paging,
    Expiring,
    Keeping,
    Limits,
    Identities,
    Moving,
    Concurrency,
    Checking,
    Closing,
):
    """Everything that the port promises. Subclass it, and give it the fixture ``repository``."""
