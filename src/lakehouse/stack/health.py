"""Is a server well? Asked from inside its container, and by `lakehouse up`. Needs the standard library only."""

from __future__ import annotations

import json
import sys
import urllib.request

#: Never through a proxy: what is asked is on this machine, or beside it.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_TIMEOUT = 5.0


def answers(url: str) -> bool:
    """Whether ``GET url`` is answered with success."""
    try:
        with _OPENER.open(url, timeout=_TIMEOUT) as answer:
            return bool(200 <= answer.status < 300)
    except OSError:
        return False


def airflow(url: str) -> dict[str, str]:
    """Airflow's component → ``healthy`` or not; empty when the API server at ``url`` does not answer."""
    # Asked again and again while Airflow needs the processor: a plain opener is much cheaper than a client.
    try:
        with _OPENER.open(f"{url}/api/v2/monitor/health", timeout=_TIMEOUT) as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return {}
    return {name: str(details.get("status")) for name, details in found.items()}


def main() -> None:
    """``http URL``, or ``airflow URL COMPONENT``; exit code 1 when it is not well."""
    match sys.argv[1:]:
        case ["http", url]:
            state = "healthy" if answers(url) else "no answer"
        case ["airflow", url, component]:
            state = airflow(url).get(component, "no answer")
        case _:
            raise SystemExit("usage: python -m lakehouse.stack.health http URL | airflow URL COMPONENT")
    sys.stdout.write(f"{state}\n")
    raise SystemExit(state != "healthy")


if __name__ == "__main__":
    main()
