"""The lab answers its own page alone, refuses what is malformed with a 4xx, and lives on."""

import json
import os
import random
import socket

import pytest

from gainstage.lab.training import Trainings

COMPUTES = [
    ("POST", "/api/look"), ("POST", "/api/train"), ("GET", "/api/start"), ("GET", "/api/questions"),
    ("GET", "/api/ask/1.1"), ("GET", "/api/export/html"), ("POST", "/api/train/x/stop"), ("GET", "/api/train/x/events"),
]  # fmt: skip
SMALL = {"depth": 3, "width": 8, "batch": 32}


@pytest.mark.parametrize(("method", "path"), COMPUTES)
@pytest.mark.parametrize("token", ["", "wrong", "ä"])
def test_nothing_computes_without_the_token(send, method, path, token):
    assert send(method, path, {}, token=token)[0] == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "localhost:1", "", "127.0.0.1.evil.example"]
)
def test_another_host_gets_nothing(send, host):
    for path in ("/", "/static/lab.js", "/api/start"):
        assert send("GET", path, headers={"host": host})[0] in (400, 421)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://localhost:1"])
def test_another_origin_gets_nothing(send, origin):
    assert send("POST", "/api/look", {"state": SMALL}, headers={"origin": origin})[0] == 403


def test_its_own_origin_is_answered(send, running):
    status, headers, body = send(
        "POST", "/api/look", {"state": SMALL}, headers={"origin": f"http://127.0.0.1:{running.port}"}
    )
    assert status == 200
    assert [json.loads(line)["stage"] for line in body.splitlines()] == ["levels", "findings", "theory"]
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert b" style=" not in body.replace(b"\\", b"")


def test_it_listens_on_the_loopback_interface_alone(running):
    assert {bound.getsockname()[0] for server in running.server.servers for bound in server.sockets} == {"127.0.0.1"}


@pytest.mark.parametrize("name", ["lab.py", "..%2fapp.py", "../app.py", "%2e%2e/full_run.json", "", "lab.js%00"])
def test_only_the_page_s_files_are_served(send, name):
    assert send("GET", f"/static/{name}")[0] in (400, 403, 404)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"\xff\xfe", 400), (b"[" * 20000, 400), ([], 422), ({"state": []}, 422),
        ({"state": {"depth": 1e9}}, 422), ({"state": {"width": "wide"}}, 422), ({"state": {"code": "print()"}}, 422),
        ({"state": {"model": "os:system"}}, 422),
        ({"state": SMALL, "width": -1}, 422), ({"state": SMALL, "width": True}, 422), (b"x" * 70000, 413),
    ],
)  # fmt: skip
def test_a_malformed_look_gets_a_reason(send, body, status):
    found, _, told = send("POST", "/api/look", body)
    assert found == status
    assert told


def test_more_starts_or_steps_than_it_takes_are_refused(send):
    assert send("POST", "/api/train", {"states": [SMALL] * 9})[0] == 422
    assert send("POST", "/api/train", {"states": [{"steps": 10**7}]})[0] == 422
    assert send("POST", "/api/train", {"states": {}})[0] == 422


def test_more_trainings_at_once_than_it_takes_are_refused(send, running):
    held = [running.lab._may_train.one() for _ in range(2)]
    for one in held:
        one.__enter__()
    run = json.loads(send("POST", "/api/train", {"states": [SMALL]})[2])["run"]
    assert send("GET", f"/api/train/{run}/events")[0] == 429
    for one in held:
        one.__exit__(None, None, None)


ROUNDS = 60 * int(os.environ.get("GAINSTAGE_FUZZ", "1"))


def malformed(running) -> int:
    """Send bytes of any kind, and return how many requests got a status, none of which is that of a fault."""
    draw, answered = random.Random(0), 0
    words = [
        b"GET ", b"POST ", b"/api/look?token=", running.lab.token.encode(), b" HTTP/1.1\r\n", b"Host: ", b"\r\n\r\n",
        f"Host: 127.0.0.1:{running.port}\r\n".encode(), b"Content-Length: 99999999999\r\n",
        b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"{}", b"%00", b"\x00\xff",
        b"Content-Type: application/json\r\n",
    ]  # fmt: skip
    for _ in range(ROUNDS):
        sent = b"".join(draw.choice(words) for _ in range(draw.randrange(1, 14)))
        with socket.create_connection(("127.0.0.1", running.port), timeout=60) as line:
            line.sendall(sent)
            line.shutdown(socket.SHUT_WR)
            answer = line.recv(64)
        if answer:
            status = int(answer.split()[1])
            assert status < 500 or answer.startswith(b"HTTP/1.1 501"), (sent, answer)
            answered += 1
    return answered


def test_bytes_of_any_kind_leave_it_alive(send, running):
    assert malformed(running) > 0
    assert send("GET", "/api/start")[0] == 200


def test_mutated_requests_get_no_5xx(send):
    draw = random.Random(1)
    junk = [None, True, -1, 1e308, "nan", "9" * 30, "hf:" + "a" * 99, [], {}, "tanh", 0, "\ud800"]
    names = ["depth", "width", "activation", "model", "gain", "seed", "residual", "steps", "scheme", "data"]
    for _ in range(ROUNDS):
        state = {draw.choice(names): draw.choice(junk) for _ in range(draw.randrange(1, 4))}
        route = draw.choice(["/api/train", "/api/train/x/y", "/api/look"])
        status, _, _ = send("POST", route, {"states": [state], "state": state, "width": draw.choice(junk)})
        assert status < 500, (route, state)
    assert send("GET", "/api/ask/9.9")[0] == 200  # an event says that there is no such claim
    for bad in ("seed=-1", "seed=x"):
        name, value = bad.split("=")
        assert send("GET", "/api/ask/1.1", **{name: value})[0] == 422


def test_a_training_can_be_held_stepped_and_stopped():
    from gainstage.lab.state import State

    state = State(depth=2, width=8, batch=32, steps=30)
    run = Trainings([state, state.changed(scheme="auto")])
    run.hold()
    run.start()
    run.step(3)
    for _ in range(600):
        if all(len(one.steps) == 3 for one in run.trained):
            break
        run._threads[0].join(0.1)
    assert [len(one.steps) for one in run.trained] == [3, 3]
    assert run.held
    run.stop()
    run.join(20)
    assert run.over
    assert [one.error for one in run.trained] == ["", ""]


def test_trainings_side_by_side_are_those_made_alone():
    from gainstage.lab.state import State

    state = State(depth=2, width=8, batch=32, steps=5, dropout=0.3)
    together, alone = Trainings([state, state.changed(gain=2.0)]), Trainings([state])
    for run in (together, alone):
        run.start()
        run.join(60)
    assert together.trained[0].losses == alone.trained[0].losses
    assert together.trained[1].losses != alone.trained[0].losses
