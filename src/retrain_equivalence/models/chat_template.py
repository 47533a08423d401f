"""Is a checkpoint's chat template safe and usable? Found out in a child process with little time and memory.

Design. A template is a program. `transformers` renders it in a sandbox that stops attribute escapes, but nothing there
stops it from looping or filling the memory. So before a template is used, it is rendered once on a sample conversation
in a child with hard limits; the child imports `jinja2` alone and reads its input from stdin.
"""

from __future__ import annotations

import json
import subprocess
import sys

SECONDS = 2
"""Processor time that a template may take."""

MEMORY = 1 << 30
"""Bytes that the child may map."""

_CHILD = """
import datetime, json, sys
try:
    import resource
except ImportError:
    resource = None
import jinja2, jinja2.ext, jinja2.sandbox
asked = json.load(sys.stdin)
if resource:
    resource.setrlimit(resource.RLIMIT_CPU, (asked["seconds"], asked["seconds"]))
    resource.setrlimit(resource.RLIMIT_AS, (asked["memory"], asked["memory"]))
class Generation(jinja2.ext.Extension):
    tags = {"generation"}
    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)
def refuse(message):
    raise jinja2.TemplateError(message)
try:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals.update(raise_exception=refuse, strftime_now=datetime.date(2025, 4, 10).strftime)
    text = environment.from_string(asked["template"]).render(**asked["values"])
    print(json.dumps({"characters": len(text)}))
except MemoryError:
    print(json.dumps({"error": "needs too much memory"}))
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"[:200]}))
"""


def template_trouble(template: str, special: dict[str, str]) -> str | None:
    """Return why `template` cannot be used, or None.

    Args:
        template: Jinja source.
        special: the special tokens that the template may name (`bos_token`, ...).
    """
    messages = [{"role": "user", "content": "retrain"}, {"role": "assistant", "content": "equivalence"}]
    values = {**special, "messages": messages, "add_generation_prompt": False, "date_string": "10 Apr 2025"}
    asked = {"template": template, "values": values, "seconds": SECONDS, "memory": MEMORY}
    try:
        # Our own interpreter and our own text; the template travels as data.
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-c", _CHILD],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=5 * SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"is not finished after {5 * SECONDS} s"
    if done.returncode < 0:
        return f"is not finished after {SECONDS} s of processor time"
    answer = json.loads(done.stdout) if done.stdout else {"error": "needs too much memory"}
    error = answer.get("error")
    return None if error is None else f"fails on a question and an answer: {error}"
