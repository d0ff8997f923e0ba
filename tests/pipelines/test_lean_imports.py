"""A quick start leaves out what nobody has asked for, and it is there as soon as somebody does."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path


def _printed(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout.split()


def test_the_file_systems_of_clouds_are_left_out_and_found_when_a_path_asks_for_them() -> None:
    printed = _printed("""
        import sys
        from pipelines.lean_imports import FILE_SYSTEMS, lean_imports

        with lean_imports():
            import pipelines.workflows
        print(len(FILE_SYSTEMS.intersection(sys.modules)), "pandas" in sys.modules, "azure.identity" in sys.modules)

        from pipelines.sources.remote import file_systems

        known = file_systems("azfs://account/container/logs")
        print(type(known.get_filesystem("azfs://account/container/logs")).__name__)
    """)

    assert printed == ["0", "False", "False", "BlobStorageFileSystem"]


def test_nobody_looks_for_what_was_left_out_when_the_first_row_comes() -> None:
    printed = _printed("""
        import sys
        from pipelines.lean_imports import lean_imports

        with lean_imports():
            import pipelines.workflows
        import numpy as np
        import pyarrow as pa
        from models.hashing import hash_strings

        hash_strings(pa.array(["a", "b"]))
        print(pa.chunked_array([[1, 2]]).to_numpy().sum())
        print([name for name in ("pandas", "scipy.linalg", "bson") if name in sys.modules])
    """)

    assert printed == ["3", "[]"]


def test_what_was_left_out_can_be_imported_as_ever_afterwards() -> None:
    printed = _printed("""
        from pipelines.lean_imports import lean_imports

        with lean_imports():
            try:
                import apache_beam.io.azure.blobstoragefilesystem
            except ModuleNotFoundError as error:
                print(error.name)
        from apache_beam.io.azure.blobstoragefilesystem import BlobStorageFileSystem
        print(BlobStorageFileSystem.scheme())
    """)

    assert printed == ["apache_beam.io.azure.blobstoragefilesystem", "azfs"]


def test_a_command_does_not_import_a_notebook_to_learn_that_it_is_none(tmp_path: Path) -> None:
    stand_in = tmp_path / "IPython" / "__init__.py"
    stand_in.parent.mkdir()
    stand_in.write_text("def get_ipython():\n    return None\n")

    printed = _printed(f"""
        import sys

        sys.path.insert(0, {str(tmp_path)!r})
        import apache_beam as beam
        from apache_beam.utils.interactive_utils import is_in_ipython
        from pipelines.lean_imports import no_notebook

        with no_notebook():
            pipeline = beam.Pipeline()
            _ = pipeline | beam.Create([1]) | beam.Map(lambda one: one)
        print("IPython" in sys.modules)

        is_in_ipython()
        print("IPython" in sys.modules)
        with no_notebook():
            from IPython import get_ipython
        print(get_ipython())
    """)

    assert printed == ["False", "True", "None"]


def test_a_replay_reads_in_neither_the_sinks_nor_the_watch() -> None:
    printed = _printed("""
        import sys
        import pipelines.workflows

        print([name for name in ("pipelines.watch", "pipelines.sinks.uri") if name in sys.modules])
        from pipelines.sinks import Sinks, parse_sink
        print(Sinks.__name__, parse_sink.__name__)
    """)

    assert printed == ["[]", "Sinks", "parse_sink"]
