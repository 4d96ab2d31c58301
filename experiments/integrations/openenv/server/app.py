"""The ASGI application that openenv.yaml names: `uvicorn server.app:app --host 0.0.0.0 --port 8000`.

| environment variable | meaning |
|---|---|
| `VT_ENV_TASKS`, `VT_ENV_SPLIT` | task set and split, as `vt_env.SessionSource` takes them |
| `VT_ENV_TOKEN` | secret that clients send as `Authorization: Bearer TOKEN`; needed, as a container is open to others |
| `VT_ENV_ALLOWED_HOSTS` | names by which clients call the server, with commas, such as `OWNER-vt-env.hf.space` |
"""

import os

from vt_env.integrations.http_access import HttpConfig
from vt_env.integrations.openenv import openenv_app
from vt_env.session import SessionSource

_hosts = os.environ.get("VT_ENV_ALLOWED_HOSTS", "")
app = openenv_app(
    SessionSource(os.environ.get("VT_ENV_TASKS", "world"), os.environ.get("VT_ENV_SPLIT", "train")),
    HttpConfig(
        "0.0.0.0",
        token=os.environ.get("VT_ENV_TOKEN", ""),
        allowed_hosts=tuple(it.strip() for it in _hosts.split(",") if it.strip()),
    ),
)
