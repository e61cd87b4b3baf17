"""What one types at work, in the environment at hand: `nox -s lint`, or test, coverage, docs, build, bench, ci."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "test"]


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint, types and workflows."""
    session.run(".ci/lint", external=True)


@nox.session
def test(session: nox.Session) -> None:
    """Run the tests, on two cores, while some wait; what follows -- goes to pytest instead of that."""
    session.run("pytest", *(session.posargs or ["-n", "3", "--dist", "loadfile"]), external=True)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests and list what none of them reached, with real data where GRADCON_DATA has it."""
    session.run("pytest", "--cov=", *session.posargs, external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into build/docs, and check its links; needs the extras docs and test."""
    session.run(".ci/docs", "build/docs", external=True)


@nox.session
def build(session: nox.Session) -> None:
    """Compile in place, after a change of C++."""
    session.run("pip", "install", "--no-build-isolation", "--no-deps", "-e", ".", external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure; what follows -- goes to pytest. Alone on the machine."""
    session.run("pytest", "benchmarks", *session.posargs, external=True)


@nox.session
def ci(session: nox.Session) -> None:
    """Check everything from nothing, as continuous integration does."""
    session.run(".ci/run", external=True)
