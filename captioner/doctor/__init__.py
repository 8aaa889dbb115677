"""What is wrong with this machine and what lies on it. Imports no torch, which may be what is wrong."""

from collections.abc import Iterator
from pathlib import Path

from captioner.doctor.belongings import check_model, find_belongings
from captioner.doctor.finding import Finding
from captioner.doctor.machine import check_cpu, check_disk, check_gpu, check_java, check_memory, run_probe
from captioner.doctor.packages import check_pair, check_python, check_requirements, explain_import, find_build


def examine(folder: Path | None, model: Path | None) -> Iterator[Finding]:
    """Look at everything; at what lies here and in ``folder``, and at one ``model`` more closely."""
    yield check_python()
    yield from check_requirements()
    pair, probed = check_pair(find_build("torch"), find_build("torchvision")), run_probe()
    # Where the versions already explain why they cannot be imported, that is said once.
    yield pair if isinstance(probed, dict) or pair.state == "error" else explain_import(probed)
    measured = probed if isinstance(probed, dict) else None
    yield check_cpu(measured["rates"] if measured else {})
    yield check_gpu(measured)
    yield check_memory()
    yield check_disk(Path())
    yield check_java()
    # What lies in ``folder`` may have been found from here already.
    yield from dict.fromkeys(found for place in (Path(), folder or Path()) for found in find_belongings(place))
    if model is not None:
        yield from check_model(model)
