"""`azureml.core.authentication`: nobody logs in to Azure; the workspace's own token is what counts.

Whatever a script authenticates with is accepted and not used.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from outlast.azureml import reach


class InteractiveLoginAuthentication:
    """Stands for a login in a browser; none is opened."""

    def __init__(
        self, force: bool = False, tenant_id: Optional[str] = None, cloud: Optional[str] = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        self._tenant_id = tenant_id

    def get_authentication_header(self) -> Dict[str, str]:
        """The header that the workspace's server takes."""
        return {"Authorization": f"Bearer {self._token()}"}

    def _token(self) -> str:
        return reach.workspace().connection.address.token


class AzureCliAuthentication(InteractiveLoginAuthentication):
    """Stands for `az login`."""

    def __init__(self, cloud: Optional[str] = None) -> None:
        super().__init__(cloud=cloud)


class MsiAuthentication(InteractiveLoginAuthentication):
    """Stands for a managed identity."""

    def __init__(self, identity_config: Any = None, cloud: Optional[str] = None) -> None:
        super().__init__(cloud=cloud)


class ServicePrincipalAuthentication(InteractiveLoginAuthentication):
    """Stands for a service principal; its password isn't kept."""

    def __init__(
        self, tenant_id: str, service_principal_id: str, service_principal_password: str,
        cloud: str = "AzureCloud", _enable_caching: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(tenant_id=tenant_id, cloud=cloud)
