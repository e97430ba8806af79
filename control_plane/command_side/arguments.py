"""What the kernel can be given: a spec whose arguments no ``execve`` would take is refused before it is stored."""

from control_plane.command_side.parameters import problem, refuse
from runplane.contract.envelope import MAX_RECORD_BYTES
from runplane.contract.errors import InvalidInput
from runplane.contract.spec import RunSpec, render
from runplane.contract.workflow import PLACEHOLDER, WorkflowDefinition

MAX_ARGUMENT_BYTES = 128 * 1024 - 1
"""Linux' MAX_ARG_STRLEN without the NUL that ends a string."""
MAX_ARGUMENTS_BYTES = 1536 * 1024
"""All arguments and the environment together; the kernel's own limit is 2 MiB under the usual stack limit."""
MAX_SPEC_BYTES = MAX_RECORD_BYTES - 64 * 1024


def check_arguments(definition: WorkflowDefinition, spec: RunSpec) -> None:
    """Raise :class:`InvalidInput`, naming the parameter, for what cannot be handed to a program."""
    errors: list[dict[str, str | None]] = []
    for template, text, place in _handed_over(definition, spec):
        why = _objection(text)
        if why is not None:
            field = _culprit(template, spec) or place
            errors.append(problem(field, f"{field} {why}"))
    if errors:
        raise refuse(errors, code="argument_not_possible")
    total = sum(len(text.encode()) + 9 for text in (*spec.argv, *spec.env, *spec.env.values()))
    if total > MAX_ARGUMENTS_BYTES:
        raise InvalidInput(
            f"arguments and environment are {total} bytes together: at most {MAX_ARGUMENTS_BYTES} can be given to a "
            f"program. Put large values in a file and pass its path",
            code="argument_not_possible",
            errors=[problem("params", f"{total} bytes of arguments, {MAX_ARGUMENTS_BYTES} are possible")],
        )
    check_size(spec)


def check_size(spec: RunSpec) -> None:
    """Raise :class:`InvalidInput` for a spec that no record of the log can hold."""
    size = len(spec.model_dump_json(by_alias=True))
    if size > MAX_SPEC_BYTES:
        raise InvalidInput(
            f"the run's configuration is {size} bytes: at most {MAX_SPEC_BYTES} are stored. "
            f"Put large values in a file and pass its path",
            code="spec_too_large",
            errors=[problem("params", f"{size} bytes, {MAX_SPEC_BYTES} are possible")],
        )


def _handed_over(definition: WorkflowDefinition, spec: RunSpec) -> list[tuple[str, str, str]]:
    """Each string for ``execve``: its template, the rendered text, and its place in the workflow."""
    arguments = [
        (template, render(template, spec.params), f"command[{index}]")
        for index, template in enumerate(definition.command)
    ]
    environment = [
        (definition.env[name], f"{name}={value}", f"env.{name}") for name, value in spec.env.items()
    ]
    return [*arguments, *environment]


def _objection(text: str) -> str | None:
    if "\x00" in text:
        return "holds a NUL character, which no program can be given: remove it"
    size = len(text.encode())
    if size > MAX_ARGUMENT_BYTES:
        return (
            f"makes an argument of {size} bytes: the kernel takes at most {MAX_ARGUMENT_BYTES}. "
            f"Put the value in a file and pass its path"
        )
    return None


def _culprit(template: str, spec: RunSpec) -> str | None:
    """The parameter to blame: the longest of those in the template, or the one with a NUL."""
    names = [name for name in PLACEHOLDER.findall(template) if name in spec.params]
    if not names:
        return None
    worst = max(names, key=lambda name: ("\x00" in str(spec.params[name]), len(str(spec.params[name]))))
    return f"params.{worst}"
