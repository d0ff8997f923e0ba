"""Beam's file systems, ready for use outside of a pipeline too: blobs are reached before one is built."""

from __future__ import annotations

from typing import Any, Final

from models.errors import SourceError
from pipelines.lean_imports import import_file_systems

#: how a path of Azure blobs begins
_AZURE: Final = "azfs://"
#: how the address of a storage account in the public cloud ends
_HOST: Final = ".blob.core.windows.net"


def file_systems(path: str) -> Any:
    """Beam's ``FileSystems``, so set up that they can reach a path.

    Blobs are reached with AZURE_STORAGE_CONNECTION_STRING or Beam's ``--azure_connection_string`` where one is set,
    else as whom ``az login`` or the machine's identity says, at the account that the path names.

    Args:
        path: ``azfs://account/container/path``, or any other that Beam knows.
    """
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import AzureOptions, PipelineOptions
    from apache_beam.options.value_provider import RuntimeValueProvider

    import_file_systems()
    # a pipeline, or the worker that runs its steps, has set them already; Beam offers no way to ask
    options = FileSystems._pipeline_options or RuntimeValueProvider.runtime_options
    if options is None:
        options = PipelineOptions([])
        FileSystems.set_options(options)
    if path.startswith(_AZURE):
        azure = options.view_as(AzureOptions)
        endpoint = azure.blob_service_endpoint
        if endpoint is None or endpoint.endswith(_HOST):
            azure.blob_service_endpoint = f"https://{path.removeprefix(_AZURE).partition('/')[0]}{_HOST}"
    return FileSystems


def match(pattern: str) -> list[Any]:
    """What Beam knows of each file that a pattern fits; ``**`` stands for any path.

    Raises:
        SourceError: the place can't be reached.
    """
    try:
        (result,) = file_systems(pattern).match([pattern])
    except Exception as error:  # Beam wraps whatever the storage's client raises
        raise failed("listed", pattern, error) from None
    return list(result.metadata_list)


def failed(what: str, path: str, error: Exception) -> SourceError:
    """That something can't be done with a path, as an error of ours."""
    # the exception's text may hold a signed address, so only its kind is shown
    kinds = {type(error).__name__, *(type(inner).__name__ for inner in getattr(error, "exception_details", None) or {})}
    return SourceError(f"{path} can't be {what}.", received=", ".join(sorted(kinds)), retry=True)
