"""Which name is served by which module, and what can't be served. One line for each.

`load` imports the file that has it, so nothing is imported before it is used. A name that is in no
module here doesn't exist for scripts: they get an ImportError, as of any missing package.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict, Tuple

_PREFIX = __name__.rpartition(".")[0]

# Name -> the file of this folder that defines it.
_HOMES: Dict[str, str] = {
    "Workspace": "workspace",
    "Experiment": "experiment",
    "Run": "run",
    "ScriptRun": "run",
    "_SubmittedRun": "run",
    "_OfflineRun": "run",
    "get_run": "run",
    "ScriptRunConfig": "script_config",
    "RunConfiguration": "run_configuration",
    "DockerConfiguration": "run_configuration",
    "MpiConfiguration": "run_configuration",
    "PyTorchConfiguration": "run_configuration",
    "TensorflowConfiguration": "run_configuration",
    "HistoryConfiguration": "run_configuration",
    "AmlComputeConfiguration": "run_configuration",
    **dict.fromkeys(
        ("ParallelTaskConfiguration", "SparkConfiguration", "HdiConfiguration",
         "KubernetesComputeConfiguration", "MPI_CPU_IMAGE", "MPI_GPU_IMAGE"),
        "run_configuration",
    ),
    **dict.fromkeys(
        ("AML_CONFIG_DIR", "AZUREML_DIR", "RUNCONFIGURATION_EXTENSION",
         "COMPUTECONTEXT_EXTENSION", "LOCAL_RUNCONFIG_NAME"),
        "run_configuration_file",
    ),
    "Environment": "environment",
    **dict.fromkeys(
        ("PythonSection", "DockerSection", "ContainerRegistry", "RegistryIdentity",
         "DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE", "SparkSection", "SparkPackage",
         "DatabricksSection", "DockerBuildContext", "DockerImagePlatform", "DockerImageDetails",
         "RSection", "RCranPackage", "RGitHubPackage"),
        "environment_sections",
    ),
    "EnvironmentReference": "environment",
    "ImageBuildDetails": "environment_build",
    "CondaDependencies": "conda_dependencies",
    "PYTHON_DEFAULT_VERSION": "conda_dependencies",
    "ComputeTarget": "compute",
    "ComputeTargetProvisioningConfiguration": "compute",
    "AmlCompute": "compute_cluster",
    "AmlComputeProvisioningConfiguration": "compute_cluster",
    "AmlComputeStatus": "compute_cluster",
    "AmlComputeNodeStateCounts": "compute_cluster",
    "ScaleSettings": "compute_cluster",
    "ComputeInstance": "compute_instance",
    "ComputeInstanceProvisioningConfiguration": "compute_instance",
    "ComputeInstanceStatus": "compute_instance",
    "Model": "model",
    "ResourceConfiguration": "resource_configuration",
    "Keyvault": "keyvault",
    "Dataset": "dataset",
    "Datastore": "datastore",
    "DataPath": "data_path",
    "DataPathComputeBinding": "data_path",
    "DataReference": "data_path",
    "DataReferenceConfiguration": "data_path",
    "DatasetConsumptionConfig": "dataset_input",
    "InputDatasets": "dataset_input",
    "OutputDatasets": "dataset_input",
    "AbstractAuthentication": "authentication",
    "InteractiveLoginAuthentication": "authentication",
    "AzureCliAuthentication": "authentication",
    "MsiAuthentication": "authentication",
    "ServicePrincipalAuthentication": "authentication",
    "TokenAuthentication": "authentication",
    "ArmTokenAuthentication": "authentication",
    "VERSION": "version",
    "__version__": "version",
    "set_diagnostics_collection": "telemetry",
}  # fmt: skip

EXCEPTIONS: Tuple[str, ...] = (
    "ActivityFailedException", "AuthenticationException", "AzureMLException",
    "ComputeTargetException", "DatasetTimestampMissingError", "DiscoveryUrlNotFoundException",
    "ExperimentExecutionException", "ModelNotFoundException", "ModelPathNotFoundException",
    "ParallelRunException", "ProjectSystemException", "RunConfigurationException",
    "RunEnvironmentException", "SnapshotException", "TrainingException", "UserErrorException",
    "WebserviceException", "WorkspaceException", "WorkspacePrivateEndpointException",
)  # fmt: skip

_ENVIRONMENT = (
    "Environment", "PythonSection", "DockerSection", "ContainerRegistry", "CondaDependencies",
    "DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE", "PYTHON_DEFAULT_VERSION", "SparkPackage",
)  # fmt: skip
_ENVIRONMENT_PARTS = (
    "SparkSection", "DatabricksSection", "DockerBuildContext", "DockerImagePlatform",
    "DockerImageDetails", "RSection", "RCranPackage", "RGitHubPackage", "EnvironmentReference",
    "ImageBuildDetails", "RegistryIdentity",
)  # fmt: skip
_RUN_CONFIGURATION = (
    "RunConfiguration", "DockerConfiguration", "MpiConfiguration", "PyTorchConfiguration",
    "TensorflowConfiguration", "HistoryConfiguration", "AmlComputeConfiguration",
)  # fmt: skip
_RUN_CONFIGURATION_PARTS = (
    "ParallelTaskConfiguration", "SparkConfiguration", "HdiConfiguration",
    "KubernetesComputeConfiguration", "AML_CONFIG_DIR", "AZUREML_DIR",
    "RUNCONFIGURATION_EXTENSION", "COMPUTECONTEXT_EXTENSION", "LOCAL_RUNCONFIG_NAME",
    "MPI_CPU_IMAGE", "MPI_GPU_IMAGE",
)  # fmt: skip

# Family of what only Azure has -> (its names, why not, the nearest thing).
_REFUSED: Dict[str, Tuple[Tuple[str, ...], str, str]] = {
    "webservice": (
        ("Webservice", "AciWebservice", "AksWebservice", "AksEndpoint", "LocalWebservice",
         "InferenceConfig"),
        "Outlast trains and keeps models, it serves none",
        "Fetch the model's files (run.download_file) and serve them with a web server of your own",
    ),
    "image": (
        ("Image", "ContainerImage"),
        "Outlast builds no container images",
        "Fetch the model's files (run.download_file) and build an image with docker",
    ),
    "compute": (
        ("AdlaCompute", "AksCompute", "BatchCompute", "DataFactoryCompute", "DatabricksCompute",
         "DsvmCompute", "HDInsightCompute", "KubernetesCompute", "KustoCompute", "RemoteCompute",
         "SynapseCompute"),
        "this compute is Azure's own",
        "Runs are on this machine: make a pool of its nodes with AmlCompute, or give 'local'",
    ),
    "link": (
        ("LinkedService", "PrivateEndPoint", "PrivateEndPointConfig"),
        "it describes Azure's network",
        "Outlast's server listens where the setting `host` says (docs/server.md)",
    ),
    "hdfs": (
        ("HDFSOutputDatasetConfig",),
        "there is no Spark cluster",
        "Fill a folder: OutputFileDatasetConfig",
    ),
    "data": (
        ("SqlDataReference",),
        "a datastore of Outlast is a folder or a URL, not a database",
        "Read the table with pandas.read_sql",
    ),
    "automl": (
        ("AutoMLConfig", "AutoMLImageConfig", "AutoMLRun"),
        "Outlast has no automated machine learning",
        "Submit a script that uses a library such as FLAML or auto-sklearn",
    ),
}  # fmt: skip

WHY: Dict[str, Tuple[str, str]] = {
    name: (why, nearest) for names, why, nearest in _REFUSED.values() for name in names
}


def _of(*names: str) -> Dict[str, str]:
    return {name: _HOMES.get(name, "exceptions") for name in names}


def _refused(family: str) -> Dict[str, str]:
    return dict.fromkeys(_REFUSED[family][0], "")


_SPACES = dict.fromkeys(
    ("choice", "randint", "uniform", "quniform", "loguniform", "qloguniform", "normal", "qnormal",
     "lognormal", "qlognormal"), "hyperdrive_space",
)  # fmt: skip
_SAMPLINGS = dict.fromkeys(
    ("RandomParameterSampling", "GridParameterSampling", "BayesianParameterSampling",
     "HyperParameterSampling"), "hyperdrive_space",
)  # fmt: skip
_POLICIES = dict.fromkeys(
    ("BanditPolicy", "MedianStoppingPolicy", "TruncationSelectionPolicy", "NoTerminationPolicy",
     "EarlyTerminationPolicy"), "hyperdrive_policy",
)  # fmt: skip
_SWEEPS = {
    **dict.fromkeys(("HyperDriveConfig", "HyperDriveRunConfig", "PrimaryMetricGoal"), "hyperdrive"),
    "HyperDriveRun": "hyperdrive_run",
}
_SWEEP_EXCEPTIONS = dict.fromkeys(
    ("HyperDriveException", "HyperDriveConfigException", "HyperDriveServiceException",
     "HyperDriveScenarioNotSupportedException", "HyperDriveNotImplementedException",
     "HyperDriveRehydrateException"), "hyperdrive_exceptions",
)  # fmt: skip

# Datasets and datastores.
_DATASETS = {"FileDataset": "file_dataset", "TabularDataset": "tabular_dataset"}
_FACTORIES = dict.fromkeys(
    ("FileDatasetFactory", "TabularDatasetFactory", "DataType"), "dataset_factory"
)
_DATASTORES = dict.fromkeys(
    ("AbstractAzureStorageDatastore", "AzureBlobDatastore", "AzureFileDatastore"), "datastore"
)
_DATASET_OUTPUTS = dict.fromkeys(
    ("OutputDatasetConfig", "OutputFileDatasetConfig", "OutputTabularDatasetConfig",
     "LinkFileOutputDatasetConfig", "LinkTabularOutputDatasetConfig", "TransformationMixin",
     "RegistrationConfiguration", "MountOptions", "UploadOptions"), "dataset_output",
)  # fmt: skip
_DATASET_TYPES = dict.fromkeys(
    ("PromoteHeadersBehavior", "SkipLinesBehavior", "FileEncoding", "HistogramCompareMethod"),
    "dataset_types",
)
_DATASET_ERRORS = dict.fromkeys(
    ("DatasetValidationError", "DatasetExecutionError"), "dataset_types"
)
_DATA_PATHS = dict.fromkeys(("DataPath", "DataPathComputeBinding", "DataReference"), "data_path")

# Module -> its names, each with the file that defines it; "" = refused.
MODULES: Dict[str, Dict[str, str]] = {
    "azureml": {},
    "azureml.core": {
        **_of("Workspace", "Experiment", "Run", "ScriptRun", "ScriptRunConfig", "RunConfiguration",
              "Environment", "ContainerRegistry", "ComputeTarget", "Keyvault", "Model", "get_run",
              "Dataset", "Datastore",
              "VERSION", "__version__"),
        **_refused("image"), **_refused("link"), "Webservice": "",
    },
    "azureml.core.workspace": _of("Workspace", "Experiment", "ComputeTarget", "Dataset",
                                  "ProjectSystemException", "WorkspaceException"),
    "azureml.core.model": {
        **_of("Dataset", "Model", "Environment", "Experiment", "ContainerRegistry",
              "ModelNotFoundException", "RunEnvironmentException", "WebserviceException"),
        "InferenceConfig": "",
    },
    "azureml.core.experiment": _of("Experiment"),
    "azureml.core.run": _of("Run", "_SubmittedRun", "_OfflineRun", "Environment", "get_run",
                            "InputDatasets", "OutputDatasets", "Datastore", "DataPath",
                            "ActivityFailedException", "ExperimentExecutionException",
                            "RunEnvironmentException", "SnapshotException"),
    "azureml.core.script_run": _of("ScriptRun", "Run", "RunConfiguration"),
    "azureml.core.script_run_config": _of("ScriptRunConfig", *_RUN_CONFIGURATION),
    "azureml.core.runconfig": _of("DatasetConsumptionConfig", "DataReferenceConfiguration",
                                  "Run", "ComputeTarget", "RunConfigurationException",
                                  *_RUN_CONFIGURATION, *_RUN_CONFIGURATION_PARTS, *_ENVIRONMENT),
    "azureml.core.environment": _of(*_ENVIRONMENT, *_ENVIRONMENT_PARTS),
    "azureml.core.container_registry": _of("ContainerRegistry", "RegistryIdentity"),
    "azureml.core.conda_dependencies": _of("CondaDependencies", "PYTHON_DEFAULT_VERSION"),
    "azureml.core.compute": {
        **_of("ComputeTarget", "AmlCompute", "ComputeInstance"), **_refused("compute"),
    },
    "azureml.core.compute.compute": _of("ComputeTarget", "ComputeTargetProvisioningConfiguration",
                                        "ComputeTargetException"),
    "azureml.core.compute.amlcompute": _of(
        "AmlCompute", "AmlComputeProvisioningConfiguration", "AmlComputeStatus",
        "AmlComputeNodeStateCounts", "ScaleSettings",
    ),
    "azureml.core.compute.computeinstance": _of(
        "ComputeInstance", "ComputeInstanceProvisioningConfiguration", "ComputeInstanceStatus",
    ),
    "azureml.core.compute_target": _of("ComputeTargetException", "UserErrorException"),
    "azureml.core.authentication": _of(
        "AbstractAuthentication",
        "InteractiveLoginAuthentication", "AzureCliAuthentication", "MsiAuthentication",
        "ServicePrincipalAuthentication", "TokenAuthentication", "ArmTokenAuthentication",
    ),
    "azureml.core.resource_configuration": _of("ResourceConfiguration"),
    "azureml.core.webservice": _refused("webservice"),
    "azureml.core.linked_service": {"LinkedService": ""},
    "azureml.core.private_endpoint": {"PrivateEndPoint": "", "PrivateEndPointConfig": ""},
    "azureml.core.image": _refused("image"),
    "azureml.core.keyvault": _of("Keyvault"),
    "azureml.core.dataset": {**_of("Dataset"), **_DATASET_TYPES},
    "azureml.core.datastore": _of("Datastore"),
    "azureml.data": {
        **_DATASETS, "DataType": "dataset_factory", "HDFSOutputDatasetConfig": "",
        **{name: _DATASET_OUTPUTS[name] for name in (
            "OutputFileDatasetConfig", "LinkFileOutputDatasetConfig",
            "LinkTabularOutputDatasetConfig")},
    },
    "azureml.data.abstract_dataset": {
        "AbstractDataset": "abstract_dataset", **_FACTORIES, **_of("DatasetConsumptionConfig"),
    },
    "azureml.data.abstract_datastore": {"AbstractDatastore": "datastore"},
    "azureml.data.azure_storage_datastore": {**_DATASTORES, **_of("DataReference")},
    "azureml.data.context_managers": {"DatasetContextManager": "file_dataset"},
    "azureml.data.data_reference": _of("DataReference"),
    "azureml.data.datapath": _DATA_PATHS,
    "azureml.data.dataset_consumption_config": _of("DatasetConsumptionConfig"),
    "azureml.data.dataset_error_handling": _DATASET_ERRORS,
    "azureml.data.dataset_factory": {**_FACTORIES, **_DATA_PATHS, **_DATASET_TYPES},
    "azureml.data.dataset_type_definitions": _DATASET_TYPES,
    "azureml.data.file_dataset": {"FileDataset": "file_dataset",
                                  "AbstractDataset": "abstract_dataset"},
    "azureml.data.output_dataset_config": {**_DATASET_OUTPUTS, "HDFSOutputDatasetConfig": ""},
    "azureml.data.sql_data_reference": _refused("data"),
    "azureml.data.tabular_dataset": {**_DATASETS, "AbstractDataset": "abstract_dataset"},
    "azureml.exceptions": _of(*EXCEPTIONS),
    "azureml._common": {},
    "azureml._common.exceptions": _of("AzureMLException"),
    "azureml._restclient": {},
    "azureml._restclient.exceptions": _of("ServiceException"),
    "azureml.telemetry": _of("set_diagnostics_collection", "UserErrorException"),
    "azureml.train": {},
    "azureml.train.hyperdrive": {**_SPACES, **_SAMPLINGS, **_POLICIES, **_SWEEPS},
    "azureml.train.hyperdrive.parameter_expressions": {**_SPACES, **_SWEEP_EXCEPTIONS},
    "azureml.train.hyperdrive.sampling": {**_SAMPLINGS, **_SWEEP_EXCEPTIONS},
    "azureml.train.hyperdrive.policy": {**_POLICIES, **_SWEEP_EXCEPTIONS},
    "azureml.train.hyperdrive.run": {**_SWEEPS, **_SWEEP_EXCEPTIONS},
    "azureml.train.hyperdrive.runconfig": {
        **_SWEEPS, **_SAMPLINGS, **_POLICIES, **_SWEEP_EXCEPTIONS,
    },
    "azureml.train.hyperdrive.exceptions": _SWEEP_EXCEPTIONS,
    "azureml.widgets": {"RunDetails": "run_details"},
    "azureml.widgets.run_details": {"RunDetails": "run_details"},
    "azureml.train.estimator": dict.fromkeys(("Estimator", "MMLBaseEstimator"), "estimator"),
    "azureml.train.dnn": dict.fromkeys(
        ("PyTorch", "TensorFlow", "Chainer", "Mpi", "Gloo", "Nccl", "ParameterServer"), "estimator"
    ),
    "azureml.train.sklearn": {"SKLearn": "estimator"},
    "azureml.train.automl": _refused("automl"),
    "azureml.train.automl.run": _refused("automl"),
    "azureml.train.automl.automlconfig": _refused("automl"),
}  # fmt: skip

# Packages beside azureml-core that aren't served -> why, and the nearest thing.
ABSENT: Dict[str, str] = {
    "azureml.pipeline": "pipelines aren't there yet; submit one run after the other, "
    "experiment.submit(…, inputs={…}) hands outputs on",
    "azureml.automl": "Outlast has no automated machine learning; submit a script that uses a "
    "library such as FLAML",
    "azureml.train.automl": "Outlast has no automated machine learning; submit a script that uses "
    "a library such as FLAML",
    "azureml.opendatasets": "these data are served by Azure; fetch them by their own address, as "
    "Dataset.Tabular.from_delimited_files('https://…')",
    "azureml.explain": "it explains models; use the packages interpret or shap themselves, and "
    "run.upload_folder for what they make",
    "azureml.contrib.explain": "it explains models; use the packages interpret or shap themselves, "
    "and run.upload_folder for what they make",
    "azureml.contrib.interpret": "it explains models; use the packages interpret or shap "
    "themselves, and run.upload_folder for what they make",
    "azureml.responsibleai": "use the package responsibleai itself, and run.upload_folder for what "
    "it makes",
    "azureml.contrib.fairness": "use the package fairlearn itself, and run.upload_folder for what "
    "it makes",
    "azureml.dataprep": "datasets are read by pandas here: dataset.to_pandas_dataframe()",
    "azureml.monitoring": "it collects what web services are asked, and Outlast serves no models",
    "azureml.interpret": "it explains models; use the packages interpret or shap themselves, and "
    "run.upload_folder for what they make",
    "azureml.datadrift": "it watches data in Azure; submit a script that compares them",
    "azureml.tensorboard": "start it yourself: tensorboard --logdir on the run's logs/",
    "azureml.mlflow": "use run.log, or the package mlflow by itself",
    "azureml.contrib": "it was a preview of Azure's",
}  # fmt: skip


def why_absent(module: str) -> str:
    """Why no such module is served, in words that end the message of an ImportError."""
    names = module.split(".")
    for depth in range(len(names), 0, -1):
        found = ABSENT.get(".".join(names[:depth]))
        if found:
            return found
    return "docs/azureml.md tells what there is"


def load(module: str, name: str) -> Any:
    """What stands for `module.name`: the class, or what raises when it is used."""
    home = MODULES[module][name]
    if not home:
        from outlast.azureml.refused import Refused

        why, nearest = WHY[name]
        return Refused(name, why, nearest)
    return getattr(import_module(f"{_PREFIX}.{home}"), name)
