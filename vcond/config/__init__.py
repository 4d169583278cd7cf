"""What the operator says: files, environment, secrets, all typed; anything unknown is an error with a suggestion."""

from vcond.config.load import (
    Loaded,
    adapter_kinds,
    as_written,
    files_of,
    load,
    load_daemon,
    load_keys,
    naming_files,
    plugin_configs,
)
from vcond.config.schema import (
    ApiConfig,
    Config,
    DaemonConfig,
    HubConfig,
    KeysConfig,
    OpsConfig,
    RecordConfig,
    SealConfig,
    WebConfig,
)

__all__ = [
    "ApiConfig", "Config", "DaemonConfig", "HubConfig", "KeysConfig", "Loaded", "OpsConfig", "RecordConfig",
    "SealConfig", "WebConfig", "adapter_kinds", "as_written", "files_of", "load", "load_daemon", "load_keys", "naming_files", "plugin_configs",
]  # fmt: skip
