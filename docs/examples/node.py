#!/usr/bin/env python3
"""An inference node in one file: holds a session with a coordinator, works on its tasks, keeps results until they are settled.

    python3 node.py --coordinator http://127.0.0.1:8080 --models llama-3-8b

Put your model into work(), at the top; the rest is the protocol of docs/node-session.md and needs no change. It needs Python 3.9
and two packages: pip install websockets cryptography (Debian: apt install python3-websockets python3-cryptography).
Ctrl-C or SIGTERM drains it: what it holds is finished, nothing new is taken; a second one ends it at once.
"""
import argparse
import asyncio
import hashlib
import json
import os
import random
import signal
import sys
import time
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import websockets
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

# What work() understands beside plain text: "params", "tools", "images", "embeddings". With none of them the node gets only tasks
# that say no more than their text. Whoever says "params" should look at what is in them.
FEATURES = ["params"]


class TaskError(Exception):
    """Fails a task. `code` says that the task itself is at fault: context_length_exceeded, too_large or content_filter."""

    def __init__(self, message, retryable=True, code=None):
        super().__init__(message)
        self.retryable = retryable and code is None
        self.code = code


async def work(task, say, options):
    """Does the inference: here it says the question back, word by word. PUT YOUR MODEL HERE.

    task: user_input, context, model_name, max_infer_time, and params where the task has some: OpenAI's parameters, with `messages`
    in them as the whole question. say(text, channel="text") sends a piece on while it is made; channel="reasoning" for what the
    model thinks first. Returns what the result says: output, and where known finish_reason, usage, tool_calls, reasoning, confidence.
    Raises TaskError, or anything else, to fail the attempt; another node then tries. It is cancelled as coroutines are. A model that
    blocks goes into a thread: await asyncio.to_thread(...), which calls loop.call_soon_threadsafe(say, text) for its pieces.
    """
    params = task.get("params") or {}
    words = task["user_input"].split()
    limit = params.get("max_tokens")
    spoken = words[:limit] if isinstance(limit, int) and limit >= 0 else words
    for at, word in enumerate(spoken):
        await asyncio.sleep(options.delay)
        say(word if at == 0 else " " + word)
    return {
        "output": " ".join(spoken),
        "finish_reason": "stop" if len(spoken) == len(words) else "length",
        "usage": {"prompt_tokens": len(words), "completion_tokens": len(spoken)},
    }


PROTOCOL = "inference-node.v1"
PATH = "/api/v1/nodes/connect"
MAX_FRAME_MESSAGES = 256
MAX_RECEIVED_BYTES = 256 * 1024 * 1024  # a frame of the coordinator may hold many prompts
OPEN_TIMEOUT = 15  # seconds
SILENT_HEARTBEATS = 3
RESEND_AFTER = 30  # seconds without an answer to a result
FIRST_WAIT, LONGEST_WAIT = 0.5, 30  # seconds between sessions: doubling, with full jitter
SHORT_SESSION = 1  # seconds; one that ended sooner counts as a failure
# The close codes after which another try makes no sense.
FOR_GOOD = {1003: "a binary frame", 1009: "a frame too large", 4400: "broken messages", 4401: "not authenticated",
            4403: "this key is not let in", 4409: "another session has this key"}


def log(text):
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def valid(text):
    """Text without lone surrogates, which have no UTF-8 form."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def encode(message):
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


class Refused(Exception):
    """The coordinator has closed before its welcome: its close code, and why."""


class Key:
    """The key of a node: a PKCS#8 PEM file of secp256k1, made on first use. Whoever has it owns the node's name."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            self.private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        else:
            self.private = ec.generate_private_key(ec.SECP256K1())
            pem = self.private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                             serialization.NoEncryption())
            with os.fdopen(fd, "wb") as file:
                file.write(pem)
                os.fsync(file.fileno())
        if not isinstance(getattr(self.private, "curve", None), ec.SECP256K1):
            sys.exit(f"{path}: is no private key of secp256k1; name another --key-file")
        point = self.private.public_key().public_bytes(serialization.Encoding.X962,
                                                       serialization.PublicFormat.CompressedPoint)
        self.public = point.hex()
        self.node_id = "node-" + hashlib.sha256(point).hexdigest()[:16]

    def sign(self, text):
        """ECDSA over SHA-256 of the UTF-8: r and s, 32 bytes each, hex."""
        r, s = decode_dss_signature(self.private.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return (r.to_bytes(32, "big") + s.to_bytes(32, "big")).hex()


class Unsettled:
    """Results that are not settled yet, on disk too: work that was done is paid although the machine crashed in between."""

    def __init__(self, folder, owner):
        self.folder, self.owner, self.all = folder, owner, {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in sorted(folder.glob("*.json")):
            try:
                kept = json.loads(file.read_text("utf-8"))
                result = kept["result"]
                if kept["owner"] == owner:
                    self.all[result["task_id"], result["attempt"]] = result
            except (OSError, ValueError, KeyError, TypeError) as error:
                log(f"{file}: is no result ({error!r}); it is left there")

    def file(self, key):
        return self.folder / f"{hashlib.sha256(key[0].encode()).hexdigest()[:32]}-{key[1]}.json"

    def put(self, result):
        key = result["task_id"], result["attempt"]
        self.all[key] = result
        if result["type"] != "task.complete":
            return  # a failure carries no paid work
        try:  # whole or not at all, whatever happens meanwhile
            temporary = self.file(key).with_suffix(".tmp")
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(encode({"owner": self.owner, "result": result}))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.file(key))
        except OSError as error:
            log(f"a result cannot be kept on disk, only in memory: {error}")

    def remove(self, key):
        if self.all.pop(key, None) is None:
            return False
        try:
            self.file(key).unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            log(f"{self.file(key)}: cannot be removed ({error}); its result is sent again after the next start")
        return True


class Node:
    def __init__(self, options):
        given = urlsplit(options.coordinator)
        scheme = {"http": "ws", "ws": "ws", "https": "wss", "wss": "wss"}.get(given.scheme)
        if scheme is None or not given.hostname:
            sys.exit('--coordinator: must be a URL such as "http://127.0.0.1:8080"')
        name = f"[{given.hostname}]" if ":" in given.hostname else given.hostname
        is_default = given.port in (None, 443 if scheme == "wss" else 80)
        self.host = (name if is_default else f"{name}:{given.port}").lower()  # as in the Host header
        path = given.path.rstrip("/")
        self.url = urlunsplit((scheme, given.netloc, path if path.endswith(PATH) else path + PATH, given.query, ""))
        self.options = options
        self.key = Key(Path(options.key_file))
        self.node_id = options.node_id or self.key.node_id
        self.results = Unsettled(Path(options.state_dir), f"{self.node_id} {self.host}")
        self.running = {}  # (task_id, attempt) -> its asyncio task
        self.sent = {}  # results that went out in this session -> when
        self.outgoing = deque()
        self.wake = asyncio.Event()
        self.socket = None  # the session of the moment, once it is welcomed
        self.max_bytes = 4 * 1024 * 1024
        self.draining = False
        self.ended = asyncio.Event()

    # One session after the other

    async def run(self):
        """Returns the exit code."""
        failures = 0
        log(f"{self.node_id} serves {', '.join(self.options.models)} for {self.url}; its public key is {self.key.public}")
        while not self.ended.is_set():
            code, reason, lasted, reconnect_after = await self.session()
            self.sent.clear()
            if self.is_done() or self.ended.is_set():
                break
            if code in FOR_GOOD:
                log(f"the coordinator closed with {code} ({FOR_GOOD[code]}): {reason}")
                return 1
            failures = 0 if lasted >= SHORT_SESSION else failures + 1
            wait = random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(failures, 10)))
            if code == 1001 and reconnect_after is not None:
                wait = max(reconnect_after * random.uniform(1, 1.5), wait if lasted < SHORT_SESSION else 0)
            elif code == 4408 and lasted >= SHORT_SESSION:
                wait = 0
            log(f"no session: {reason or 'the connection was lost'} ({code}); trying again in {wait:.1f} s")
            try:
                await asyncio.wait_for(self.ended.wait(), wait)
            except asyncio.TimeoutError:
                pass
        for task in self.running.values():
            task.cancel()
        log(f"ended; {len(self.results.all)} results are not settled")
        return 0

    async def session(self):
        """Holds one session. Returns its close code (1006 for a connection that was lost), why, how many seconds it lasted after
        the welcome, and when the coordinator wants the node back."""
        began, helpers, said, reconnect_after = None, [], "", None
        try:
            async with websockets.connect(self.url, subprotocols=[PROTOCOL], compression=None, ping_interval=None,
                                          max_size=MAX_RECEIVED_BYTES, open_timeout=OPEN_TIMEOUT, close_timeout=2) as socket:
                messages = await asyncio.wait_for(self.open(socket), OPEN_TIMEOUT)
                began = time.monotonic()
                self.socket, self.silent = socket, 0
                self.welcomed(messages[0])
                helpers = [asyncio.ensure_future(self.write(socket)),
                           asyncio.ensure_future(self.beat(socket, messages[0]["heartbeat_interval"]))]
                while True:
                    for message in messages:
                        if message.get("type") == "error":
                            said = message.get("message", "")
                        if message.get("type") == "session.drain":
                            reconnect_after = message.get("reconnect_after")
                        self.take(message)
                    messages = messages_of(await socket.recv())
                    self.silent = 0
        except websockets.ConnectionClosed as closed:
            code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
        except Refused as refused:
            code, reason = refused.args
        except (OSError, ValueError, KeyError, TypeError, asyncio.TimeoutError, websockets.WebSocketException) as error:
            code, reason = 1006, str(error) or type(error).__name__
        finally:
            self.socket = None
            self.outgoing.clear()
            for helper in helpers:
                helper.cancel()
        return code, reason or said, 0 if began is None else time.monotonic() - began, reconnect_after

    async def open(self, socket):
        """Answers the challenge. Returns the welcome, and what came in one frame with it."""
        said = ""
        try:
            while True:
                messages = messages_of(await socket.recv())
                for at, message in enumerate(messages):
                    if message.get("type") == "session.challenge":
                        await socket.send(encode(self.hello(message["nonce"])))
                    elif message.get("type") == "session.welcome":
                        return messages[at:]
                    elif message.get("type") == "error":
                        said = message.get("message", "")  # a close follows
        except websockets.ConnectionClosed as closed:
            raise Refused(closed.rcvd.code if closed.rcvd else 1006, said or "it closed before its welcome") from closed

    def hello(self, nonce):
        running = [{"task_id": task_id, "attempt": attempt} for task_id, attempt in [*self.running, *self.results.all]]
        hello = {
            "type": "session.hello",
            "node_id": self.node_id,
            "public_key": self.key.public,
            "signature": self.key.sign(f"{PROTOCOL}:{self.node_id}:{self.host}:{nonce}"),
            "supported_models": self.options.models,
            "max_concurrent_tasks": self.options.slots,
            "status": self.status(),
            "running": running,
            "batch": True,
            "features": FEATURES,
            "agent": "node.py",
        }
        return hello if self.options.invite is None else {**hello, "invite": self.options.invite}

    def status(self):
        return "maintenance" if self.draining else "online"

    def welcomed(self, welcome):
        self.max_bytes = welcome["max_message_bytes"]
        log(f"connected; goes on with {len(welcome['resumed'])} tasks, {len(welcome['dropped'])} dropped")
        for ref in welcome["dropped"]:
            self.stop((ref["task_id"], ref["attempt"]))
        for key in list(self.results.all):
            self.send_result(key)
        if self.draining:
            self.say({"type": "session.drain"})
        self.step()

    async def write(self, socket):
        """Sends what waits, in order, in as few frames as the limits allow."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            while self.outgoing:
                frame, size = [], 2
                while self.outgoing and len(frame) < MAX_FRAME_MESSAGES:
                    text = encode(self.outgoing[0])
                    length = len(text.encode()) + 1
                    if frame and size + length > self.max_bytes:
                        break
                    is_output = self.outgoing.popleft()["type"] == "task.output"
                    if is_output and length > self.max_bytes:
                        continue  # the result carries it anyway
                    frame.append(text)
                    size += length
                if frame:
                    await socket.send(frame[0] if len(frame) == 1 else f"[{','.join(frame)}]")

    async def beat(self, socket, interval):
        while True:
            await asyncio.sleep(interval)
            if self.silent >= SILENT_HEARTBEATS:
                await socket.close(1001, "no message of the coordinator")
                return
            self.silent += 1
            running = [task_id for task_id, _ in self.running]
            self.say({"type": "node.heartbeat", "status": self.status(), "running": running})
            for key, at in list(self.sent.items()):
                if time.monotonic() - at > RESEND_AFTER:
                    self.send_result(key)

    def say(self, message):
        if self.socket is not None:
            self.outgoing.append(message)
            self.wake.set()

    # What the coordinator says

    def take(self, message):
        kind, key = message.get("type"), (message.get("task_id"), message.get("attempt"))
        if kind == "task.assign":
            self.assign(key, message)
        elif kind == "task.settled":
            self.sent.pop(key, None)
            if self.results.remove(key):
                log(f"{key[0]}/{key[1]} settled: {message.get('status')}")
            self.step()
        elif kind == "task.cancel":
            self.stop(key)
        elif kind == "session.drain":
            log("the coordinator is stopping")
        elif kind == "error":
            self.refused(key, message)
        # Others are answers to heartbeats, or of a newer protocol.

    def assign(self, key, task):
        ref = {"task_id": key[0], "attempt": key[1]}
        if key in self.running:
            return self.say({"type": "task.accept", **ref})  # it may not have been heard
        if key in self.results.all:
            return self.send_result(key)
        for other in [k for k in self.running if k[0] == key[0] and k[1] < key[1]]:
            self.stop(other)  # its lease is no longer this node's
        if self.draining or len(self.running) >= self.options.slots:
            reason = "the node is draining" if self.draining else "all slots of the node are in use"
            return self.say({"type": "task.reject", **ref, "reason": reason})
        self.say({"type": "task.accept", **ref})
        self.running[key] = asyncio.ensure_future(self.attempt(key, task))

    def refused(self, key, message):
        code = message.get("code")
        log(f"the coordinator answers {code}: {message.get('message')}")
        if code in ("stale_attempt", "not_holder"):
            if not self.stop(key) and key in self.sent:
                self.sent.pop(key)
                self.results.remove(key)
                self.step()
        elif code in ("internal", "rate_limited"):  # it could not take it now
            again = self.send_result if key in self.results.all else self.accept_again
            asyncio.get_running_loop().call_later(random.uniform(1, 10), again, key)
        elif code == "invalid_message" and key in self.sent and self.results.all[key]["type"] == "task.complete":
            self.results.remove(key)
            self.keep(self.failure(key, "the coordinator does not take the result"))

    def accept_again(self, key):
        if key in self.running:
            self.say({"type": "task.accept", "task_id": key[0], "attempt": key[1]})

    # Work

    async def attempt(self, key, task):
        """Works on one attempt, and keeps what it came to."""
        seq = 0

        def say(text, channel="text"):
            nonlocal seq
            if key not in self.running or text == "":
                return
            last = self.outgoing[-1] if self.outgoing else {}
            place = {"type": "task.output", "task_id": key[0], "attempt": key[1], "channel": channel}
            if all(last.get(name) == value for name, value in place.items()):
                last["delta"] += valid(text)  # it has not left yet: both go in one message
            else:
                self.say({**place, "seq": seq, "delta": valid(text)})
                seq += 1

        try:
            answer = await asyncio.wait_for(work(task, say, self.options), task["max_infer_time"])
            result = self.completion(key, answer)
        except asyncio.CancelledError:
            raise
        except asyncio.TimeoutError:
            result = self.failure(key, f"not done within max_infer_time, {task['max_infer_time']} s")
        except Exception as error:  # pylint: disable=broad-except
            result = self.failure(key, str(error) or type(error).__name__, getattr(error, "retryable", True),
                                  getattr(error, "code", None) if isinstance(error, TaskError) else None)
        if self.running.pop(key, None) is not None:
            log(f"{key[0]}/{key[1]} {'completed' if result['type'] == 'task.complete' else 'failed: ' + result['error']}")
            self.keep(result)

    def completion(self, key, answer):
        output = valid(answer["output"])
        digest = hashlib.sha256(output.encode()).hexdigest()
        notes = {name: answer[name] for name in ("usage", "finish_reason", "tool_calls", "reasoning")
                 if answer.get(name) is not None}
        result = {
            "type": "task.complete",
            "task_id": key[0],
            "attempt": key[1],
            "output": output,
            "confidence": answer.get("confidence", 1),
            **notes,
            "signature": self.key.sign(f"inference-result.v1:{key[0]}:{key[1]}:{digest}"),
        }
        size = len(encode(result).encode())
        if size > self.max_bytes:
            return self.failure(key, f"the output is too large: {size} bytes, the coordinator takes {self.max_bytes}")
        return result

    @staticmethod
    def failure(key, error, retryable=True, code=None):
        failure = {"type": "task.fail", "task_id": key[0], "attempt": key[1], "error": valid(error)[:4096],
                   "retryable": retryable}
        return failure if code is None else {**failure, "code": code}

    def keep(self, result):
        """Keeps a result until it is settled; on disk before it is sent."""
        self.results.put(result)
        self.send_result((result["task_id"], result["attempt"]))

    def send_result(self, key):
        if key in self.results.all and self.socket is not None:
            self.sent[key] = time.monotonic()
            self.say(self.results.all[key])

    def stop(self, key):
        """Stops work that no longer counts. False when there is none."""
        task = self.running.pop(key, None)
        if task is None:
            return False
        task.cancel()
        log(f"{key[0]}/{key[1]} stopped")
        self.step()
        return True

    # The end

    def is_done(self):
        return self.draining and not self.running and not self.results.all

    def step(self):
        """A drain that holds nothing more ends: the coordinator closes, and if it does not, the node."""
        if self.is_done():
            if self.socket is None:
                self.ended.set()
            else:
                asyncio.get_running_loop().call_later(5, self.leave, self.socket)

    def leave(self, socket):
        if self.socket is socket:
            asyncio.ensure_future(socket.close(1000, "drained"))

    def on_signal(self):
        if self.draining:
            log("stops at once")
            self.ended.set()
            if self.socket is not None:
                asyncio.ensure_future(self.socket.close(1001, "stopped"))
            return
        self.draining = True
        log(f"draining: {len(self.running)} tasks to finish, {len(self.results.all)} results to be settled")
        self.say({"type": "session.drain"})
        self.step()


def messages_of(frame):
    """A frame holds one message, or an array of them."""
    content = json.loads(frame)
    return [m for m in (content if isinstance(content, list) else [content]) if isinstance(m, dict)]


async def main():
    parser = argparse.ArgumentParser(description="An inference node in Python.")
    parser.add_argument("--coordinator", required=True, help="its URL, such as http://127.0.0.1:8080")
    parser.add_argument("--models", required=True, type=lambda text: text.split(","), help="names, with commas between")
    parser.add_argument("--slots", type=int, default=1, help="how many tasks at once")
    parser.add_argument("--key-file", default="./data/node.key", help="made on first use; keep it")
    parser.add_argument("--state-dir", default="./data/node-py", help="where results are kept until they are settled")
    parser.add_argument("--node-id", help="default: follows from the key")
    parser.add_argument("--invite", help="where the coordinator takes invited nodes; once is enough")
    parser.add_argument("--delay", type=float, default=0, help="of the example: seconds before each word")
    node = Node(parser.parse_args())
    for name in ("SIGINT", "SIGTERM"):
        try:
            asyncio.get_running_loop().add_signal_handler(getattr(signal, name), node.on_signal)
        except NotImplementedError:
            pass  # on Windows Ctrl-C ends it at once
    return await node.run()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
