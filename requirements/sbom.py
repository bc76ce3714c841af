"""Write what the gateway runs on as a CycloneDX document: ``python -m requirements.sbom [--output FILE]``.

Made from ``run.lock``: every release for every platform, the sha256 of its files, and who asks for whom. Licences are those that
the installed packages declare, where the locked version is the one installed. The same lock in the environment that it
describes gives the same bytes: no time stamp, no serial number.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import License, LicenseAcknowledgement, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from gateway import __version__
from requirements.locked import Pin, pins

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "run.lock"
OUTPUT = ROOT / "dist" / "sbom.cdx.json"
PROJECT = "rolegate"
LICENCE = "Apache-2.0"
LONGEST_NAME = 64
"""Characters: what is longer in a ``License`` field is the licence's text, not its name."""

About = Callable[[Pin], metadata.PackageMetadata | None]
"""What a locked release says of itself, or None where it is not at hand."""


def installed(pin: Pin) -> metadata.PackageMetadata | None:
    """The metadata of a release if this environment has it in the locked version."""
    try:
        found = metadata.distribution(pin.name)
    except metadata.PackageNotFoundError:
        return None
    return found.metadata if found.version == pin.version else None


def licences(about: metadata.PackageMetadata) -> list[License]:
    """The licences that a package declares: as an expression, else by the name of a known one, else by its classifiers."""
    factory, declared = LicenseFactory(), LicenseAcknowledgement.DECLARED
    name = _name(_field(about, "License"))
    for told in (_field(about, "License-Expression"), name):
        one = factory.make_from_string(told, license_acknowledgement=declared) if told else None
        if isinstance(one, LicenseExpression) or (one is not None and one.id is not None):
            return [one]
    classified = [
        each.rsplit(" :: ", 1)[-1] for each in about.get_all("Classifier") or () if each.startswith("License ::")
    ]
    return [factory.make_with_name(each, acknowledgement=declared) for each in classified or [name] if each]


def _field(about: metadata.PackageMetadata, name: str) -> str:
    return str(about[name]) if name in about else ""


def _name(field: str) -> str:
    """The first line of a ``License`` field if it can be a name."""
    first = field.strip().partition("\n")[0].strip()
    return first if len(first) <= LONGEST_NAME else ""


def component(pin: Pin, *, about: About) -> Component:
    """One locked release."""
    purl = PackageURL(type="pypi", name=pin.name, version=pin.version)
    told = about(pin)
    return Component(
        bom_ref=purl.to_string(),
        type=ComponentType.LIBRARY,
        name=pin.name,
        version=pin.version,
        purl=purl,
        scope=ComponentScope.OPTIONAL if pin.marker else ComponentScope.REQUIRED,
        licenses=licences(told) if told is not None else (),
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(purl.to_string()),
                comment="the files that the lock admits, one of which is installed",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in pin.sha256],
            )
        ],
        properties=[Property(name="rolegate:marker", value=pin.marker)] if pin.marker else (),
    )


def bill(locked: Iterable[Pin], *, about: About = installed) -> Bom:
    """The document: the project, every locked release, and the edges between them."""
    by_pin = {pin: component(pin, about=about) for pin in locked}
    project = Component(
        bom_ref=PROJECT,
        type=ComponentType.APPLICATION,
        name=PROJECT,
        version=__version__,
        licenses=[LicenseFactory().make_with_id(LICENCE)],
    )
    bom = Bom(components=by_pin.values())
    bom.metadata.component = project
    bom.metadata.tools.components.add(
        Component(
            type=ComponentType.LIBRARY, name="cyclonedx-python-lib", version=metadata.version("cyclonedx-python-lib")
        )
    )
    for asker, name in [(project, ""), *((each, pin.name) for pin, each in by_pin.items())]:
        bom.register_dependency(asker, [each for pin, each in by_pin.items() if name in pin.asked_by])
    return bom


def text(bom: Bom) -> str:
    """CycloneDX 1.6 as JSON, without what differs from run to run."""
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["serialNumber"], document["metadata"]["timestamp"]
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def main(arguments: Sequence[str]) -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="sbom", description="Write what the gateway runs on as a CycloneDX document.")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = Path(parser.parse_args(arguments).output)
    locked = pins(LOCK.read_text(encoding="utf-8"))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text(bill(locked)), encoding="utf-8", newline="\n")
    print(f"{output}: {len(locked)} packages")
    absent = [str(pin) for pin in locked if installed(pin) is None]
    if absent:
        print(f"Without licences, because this environment does not hold them: {', '.join(absent)}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
