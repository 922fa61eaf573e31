#!/usr/bin/env python3
"""Writes fuzz/seeds/<target>/: inputs that the fuzzer begins with. Only what it could hardly find by itself."""

import base64
import hashlib
import hmac
import json
import zlib
from pathlib import Path

SEEDS = Path(__file__).parent / "seeds"

# Those of fuzz_targets/token.rs.
SECRET = b"the secret of the fuzz target, 32 bytes and more"
NOW = 1_795_255_200


def write(target: str, name: str, content: str | bytes) -> None:
    path = SEEDS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


# Positions and cursors: the examples of docs/protocol/cursor.md, and the largest of each number.
write("cursor", "position", "1LY7VK.17.Cg3")
write("cursor", "position-not-verified", "1LY7VK.0.000")
write("cursor", "position-largest", "4gfFC3.18446744073709551615.H31")
write("cursor", "cursor-none", "~" + base64url(b"\x01"))
write("cursor", "cursor-two", "~ARFe36eB3O--XwFJlgLSrAKpwI6tASQiDQA")
ENTRY = b"\xff" * 9 + b"\x01" + b"topic." + b"tg" + b"\x01" + b"\xff" * 4
write("cursor", "cursor-largest", "~" + base64url(b"\x01" + ENTRY * 2))

# Messages: every member, every encoding, and what makes two of them equal only when read well.
write("message", "every-member", json.dumps({
    "id": "order-1001", "name": "message", "data": {"text": "hi", "n": [1, 2.5e3, None, True]}, "key": "42",
    "occurred_at": 1763719200123456, "headers": {"traceparent": "00-4bf9-00f0-01", "a": "b"}, "schema": "order/1",
    "source": "shop"}))
write("message", "json-with-line-breaks", '{"data":\r\n[ "\\u2028",\n{ "a" : -0.0e-1 } ]\n}')
write("message", "text", '{"data":"häuser \\"€\\" \\ud834\\udd1e\\n\\u0085\\u0000","encoding":"text"}')
write("message", "base64", '{"data":"AAECA//+","encoding":"base64"}')
write("message", "null", '{"data":null,"id":null}')
write("message", "member-twice", '{"data":1,"headers":{"a":"b","a":"c"}}')

# Credentials. A header and a payload on two lines are signed by the target.
HEADER = '{"alg":"HS256","typ":"JWT"}'


def claims(**changes: object) -> str:
    all_claims = {"iss": "fuzz", "aud": "fanfare", "exp": NOW + 3600} | changes
    return json.dumps({name: claim for name, claim in all_claims.items() if claim is not None}, separators=(",", ":"))


def token(header: str, payload: str, secret: bytes = SECRET) -> str:
    signed = f"{base64url(header.encode())}.{base64url(payload.encode())}"
    return f"{signed}.{base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


write("token", "wrong-audience", token(HEADER, claims(aud="elsewhere")))
write("token", "expired", token(HEADER, claims(exp=NOW - 31)))
write("token", "no-issuer", token(HEADER, claims(iss=None)))
write("token", "wrong-key", token(HEADER, claims(), b"another secret"))
write("token", "alg-none", token('{"alg":"none"}', claims()).rpartition(".")[0] + ".")
write("token", "api-key", "ffk_fuzz_" + "x" * 43)
write("token", "signed-least", f"{HEADER}\n{claims()}")
write("token", "signed-both-doors", f"{HEADER}\n{claims(aud=['fanfare', 'fanfare-server'], jti='t1')}")
write("token", "signed-topics", f"{HEADER}\n{claims(topics=['chat:*', 'news'], sub='alice')}")
write("token", "signed-full", HEADER + "\n" + claims(
    aud="fanfare-server", sub="alice", iat=NOW, nbf=NOW, exp=NOW + 86400, jti="t2", topics="news, chat:42",
    fanfare={"grants": [{"topics": ["inbox:{user}:*"], "allow": ["subscribe", "history", "publish"]}],
             "info": {"name": "Alice"}, "subscribe": ["inbox:alice:1"]}))
write("token", "signed-member-twice", HEADER + '\n{"iss":"fuzz","aud":"elsewhere","aud":"fanfare","exp":%d}' % (NOW + 60))

# Frames: masked, in fragments, with control frames between; and the requests that stand in them.
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
# Of a message that is compressed, in its first frame.
RSV1 = 0x40


def frame(opcode: int, payload: bytes, fin: bool = True, mask: bytes = b"\x01\x02\x03\xfa") -> bytes:
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big") if size < 65536 else b"\xff" + size.to_bytes(8, "big")
    return bytes([opcode | 0x80 * fin]) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


EURO = "€".encode()
write("frame", "text", frame(TEXT, "häuser".encode()))
write("frame", "text-mask-0", frame(TEXT, b'{"id":7,"ping":{}}', mask=bytes(4)))
write("frame", "text-126", frame(TEXT, b"x" * 126))
write("frame", "fragments", frame(TEXT, EURO[:1], fin=False) + frame(PING, b"hi") + frame(CONTINUATION, EURO[1:2], fin=False)
      + frame(PONG, b"") + frame(CONTINUATION, EURO[2:]) + frame(CLOSE, b"\x03\xe8bye"))
write("frame", "length-64-bits", b"\x81\xff" + (65536).to_bytes(8, "big") + b"\x00" * 4 + b"x")
write("frame", "binary", frame(BINARY, b"\x00\xff"))
write("frame", "not-masked", b"\x81\x01x")
write("frame", "deflate-fragments", frame(TEXT | RSV1, b"\xf2\x48", fin=False) + frame(PING, b"hi")
      + frame(CONTINUATION, b"\xcd\xc9\xc9\x07\x00"))
write("frame", "close-bad", frame(CLOSE, b"\x03"))
for name, request in {
    "connect": {"connect": {"token": "eyJ", "name": "web", "version": "1.2"}},
    "subscribe": {"subscribe": {"topic": "chat:42", "from": "1LY7VK.17.Cg3", "on_slow": "replay"}},
    "subscribe-last": {"subscribe": {"topic": "chat:42", "from": {"last": 50}}},
    "subscribe-since": {"subscribe": {"topic": "chat:42", "from": "since:2026-11-21T10:00:00Z"}},
    "unsubscribe": {"unsubscribe": {"topic": "chat:42"}},
    "publish": {"publish": {"topic": "chat:42", "name": "message", "data": "aGk=", "encoding": "base64", "event_id": "e",
                            "key": "k", "occurred_at": 9, "headers": {"a": "b"}, "schema": "s"}},
    "history": {"history": {"topic": "chat:42", "before": 100, "limit": 50, "direction": "backward"}},
    "history-since": {"history": {"topic": "chat:42", "since": "2026-11-21T10:00:00+01:00"}},
    "refresh": {"refresh": {"token": "eyJ"}},
}.items():
    write("frame", f"request-{name}", json.dumps({"id": 2} | request, separators=(",", ":")))
write("frame", "requests", '{"ping":{}}\r\n\n{"id":1,"ping":{}}\nnonsense\n')

# Compressed messages: every kind of block, a last one that is none, and one that makes much of little.


def deflate(content: bytes, level: int = 6, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    context = zlib.compressobj(level, zlib.DEFLATED, -15, 8, strategy)
    return (context.compress(content) + context.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


WORDS = b'{"event":{"topic":"chat:42","offset":17}},' * 8
write("deflate", "dynamic", deflate(bytes(range(32, 127)) * 4 + WORDS))
write("deflate", "fixed", deflate(WORDS, strategy=zlib.Z_FIXED))
write("deflate", "stored", deflate(WORDS, level=0))
write("deflate", "huffman-only", deflate(WORDS, strategy=zlib.Z_HUFFMAN_ONLY))
write("deflate", "last-block", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00")
write("deflate", "empty", b"\x00")
write("deflate", "bomb", deflate(bytes(1 << 17), level=9))
write("deflate", "plain", WORDS)

# Frames of `fanfare.v1` in protobuf: one of each command, and what is none.


def field(number: int, value: int | str | bytes) -> bytes:
    def varint(rest: int) -> bytes:
        low, rest = rest & 0x7F, rest >> 7
        return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


FROM_TEXT = field(1, "k3J9.17.0x7")
EVENT = (field(1, "message") + field(2, '{"text":"hi"}') + field(5, "order-1001") + field(6, "42")
         + field(7, 1763719200123456) + field(8, field(1, "a") + field(2, "b")) + field(9, "order.v1"))
CONNECT = field(1, "token") + field(3, '{"chat:42":"k3J9.17.0x7"}') + field(4, "web") + field(5, "1.2")
for name, number, command in [
    ("connect", 2, CONNECT),
    ("subscribe", 3, field(1, "chat:42") + field(2, FROM_TEXT) + field(3, 2) + field(4, 1)),
    ("unsubscribe", 4, field(1, "chat:42")),
    ("publish", 5, field(1, "chat:42") + field(2, EVENT)),
    ("publish-text", 5, field(1, "a") + field(2, field(3, "grüße \U0001d11e"))),
    ("publish-binary", 5, field(1, "a") + field(2, field(4, b"\x00\xff"))),
    ("history", 6, field(1, "chat:42") + field(4, "k3J9.17.0x7") + field(8, 1) + field(9, 50)),
    ("presence", 7, field(1, "chat:42") + field(2, field(1, '{"status":"typing"}'))),
    ("refresh", 8, field(1, "token")),
    ("ping", 9, b""),
]:
    write("proto", name, field(1, 7) + field(number, command))
write("proto", "no-command", field(1, 7))
