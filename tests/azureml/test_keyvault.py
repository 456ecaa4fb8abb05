"""Secrets are kept for their owner alone, and found by runs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from outlast.azureml.authentication import InteractiveLoginAuthentication, TokenAuthentication
from outlast.azureml.exceptions import ServiceException, UserErrorException
from outlast.azureml.experiment import Experiment
from outlast.azureml.keyvault import Keyvault
from outlast.azureml.script_config import ScriptRunConfig
from outlast.azureml.workspace import Workspace
from tests.sdk.place import Place


@pytest.fixture
def keyvault(place: Place) -> Keyvault:
    kept = Workspace.from_config().get_default_keyvault()
    for secret in kept.list_secrets():
        kept.delete_secret(secret["name"])
    return kept


def test_a_secret_is_readable_by_its_owner_alone(keyvault: Keyvault, place: Place) -> None:
    keyvault.set_secret(name="db-password", value="hunter2")
    keyvault.set_secrets({"other": "x", "db-password": "hunter3"})
    assert keyvault.get_secret(name="db-password") == "hunter3"
    assert keyvault.list_secrets() == [{"name": "db-password"}, {"name": "other"}]
    folder = place.home / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600, 0o600]
    keyvault.delete_secrets(["db-password", "other"])
    assert keyvault.get_secrets(["other"]) == {"other": None}
    with pytest.raises(ServiceException, match="other"):
        keyvault.get_secret("other")
    with pytest.raises(ServiceException, match="other"):
        keyvault.delete_secret("other")


@pytest.mark.parametrize("name", ["../token", "a/b", "", ".hidden", "a b", "x" * 128])
def test_a_name_that_could_lead_elsewhere_is_refused(keyvault: Keyvault, name: str) -> None:
    for call in (keyvault.get_secret, keyvault.delete_secret):
        with pytest.raises(UserErrorException, match="letters, digits"):
            call(name)
    with pytest.raises(UserErrorException, match="letters, digits"):
        keyvault.set_secrets({"fine": "x", name: "y"})
    assert keyvault.list_secrets() == []


def test_a_job_gets_its_secrets_and_nothing_shows_them(
    keyvault: Keyvault, experiment: Experiment, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyvault.set_secret("from-vault", "s3cret-of-the-vault")
    monkeypatch.setenv("FROM_SHELL", "set here")
    Path("train.py").write_text(
        "from azureml.core import Run\nrun = Run.get_context()\n"
        "found = run.get_secrets(['from-vault', 'FROM_SHELL', 'nowhere'])\n"
        "run.log('length', len(run.get_secret(name='from-vault')))\n"
        "run.log('shell', found['FROM_SHELL'])\nassert found['nowhere'] is None\n"
    )
    run = experiment.submit(ScriptRunConfig(".", "train.py"))
    run.wait_for_completion(show_output=True)
    assert run.get_metrics() == {"length": 19, "shell": "set here"}
    for kept in place.folder(run.id).rglob("*"):
        assert not kept.is_file() or b"s3cret" not in kept.read_bytes()


def test_a_token_is_the_workspaces_own(place: Place) -> None:
    login = InteractiveLoginAuthentication()
    token = login.get_token("https://management.example/.default").token
    assert login.get_authentication_header() == {"Authorization": f"Bearer {token}"}
    assert token == place.workspace.connection.address.token
    session = import_module("types").SimpleNamespace(headers={})
    assert login.signed_session(session).headers["Authorization"].endswith(token)


def test_a_scripts_own_tokens_are_its_own() -> None:
    own = TokenAuthentication(lambda audience: f"for {audience}")
    assert own.get_token(audience="storage") == "for storage"
    assert Workspace.from_config(auth=own).name == "local"


def test_what_the_workspace_has_none_of_is_empty() -> None:
    workspace = Workspace.get("mine", subscription_id="s", resource_group="g")
    assert (workspace.webservices, workspace.images) == ({}, {})
    assert workspace.service_context[:3] == ("s", "g", "mine")
