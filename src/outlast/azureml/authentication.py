"""`azureml.core.authentication`: nobody logs in to Azure; the workspace's own token is what counts.

Whatever a script authenticates with is accepted and not used.
"""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any, Callable, Dict, NamedTuple, Optional

from outlast.azureml import reach
from outlast.azureml.exceptions import UserErrorException

TOKEN_LASTS_S = 24 * 3600


class AccessToken(NamedTuple):
    """A token, and the time (seconds since 1970) until which it is sure to be taken."""

    token: str
    expires_on: int


class AbstractAuthentication:
    """What every way to log in is."""

    def __init__(self, cloud: Optional[str] = None) -> None:
        self._cloud = cloud

    def get_authentication_header(self) -> Dict[str, str]:
        """The header that the workspace's server takes."""
        return {"Authorization": f"Bearer {self._token()}"}

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """The workspace's token, whatever it is asked for."""
        return AccessToken(self._token(), int(time.time()) + TOKEN_LASTS_S)

    def signed_session(self, session: Any = None) -> Any:
        """A session of `requests` with that header. Raises UserErrorException without requests."""
        if session is None:
            try:
                session = import_module("requests").Session()
            except ModuleNotFoundError:
                raise UserErrorException("signed_session() needs: pip install requests") from None
        session.headers.update(self.get_authentication_header())
        return session

    def _token(self) -> str:
        return reach.workspace().connection.address.token


class InteractiveLoginAuthentication(AbstractAuthentication):
    """Stands for a login in a browser; none is opened."""

    def __init__(
        self, force: bool = False, tenant_id: Optional[str] = None, cloud: Optional[str] = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(cloud)
        self._tenant_id = tenant_id


class AzureCliAuthentication(AbstractAuthentication):
    """Stands for `az login`."""

    def __init__(self, cloud: Optional[str] = None) -> None:
        super().__init__(cloud)


class MsiAuthentication(AbstractAuthentication):
    """Stands for a managed identity."""

    def __init__(self, identity_config: Any = None, cloud: Optional[str] = None) -> None:
        super().__init__(cloud)


class ServicePrincipalAuthentication(AbstractAuthentication):
    """Stands for a service principal; its password isn't kept."""

    def __init__(
        self, tenant_id: str, service_principal_id: str, service_principal_password: str,
        cloud: str = "AzureCloud", _enable_caching: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(cloud)
        self._tenant_id = tenant_id


class TokenAuthentication(AbstractAuthentication):
    """Stands for tokens that a function of the script's gives."""

    def __init__(
        self, get_token_for_audience: Callable[[Any], Any], cloud: Optional[str] = None
    ) -> None:
        super().__init__(cloud)
        self._get_token_for_audience = get_token_for_audience

    def get_token(self, audience: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """What that function gives for this audience."""
        return self._get_token_for_audience(audience)


class ArmTokenAuthentication(AbstractAuthentication):
    """Stands for a token of Azure's; it isn't kept."""

    def __init__(self, arm_access_token: str, cloud: str = "None") -> None:
        super().__init__(cloud)
