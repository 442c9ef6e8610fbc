"""Tokens that another implementation (PyJWT) has made, from all places that a handshake may carry them in."""
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from peers import SECRET, Gateway, PythonBackend, check_log, lobby, token
from websockets.exceptions import InvalidStatus

KEYS = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def pem(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def jwk(name, key):
    algorithm = jwt.get_algorithm_by_name(name)
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, "alg": name, "use": "sig"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A gateway with an endpoint for each algorithm and form of key, and one for each place of a token."""
    directory = tmp_path_factory.mktemp("tokens")
    backend = PythonBackend()
    (directory / "secret").write_text(SECRET + "\n")
    endpoints = [
        lobby(backend.port, name="hs256", path="/hs256/{x}", tokens='algorithms = ["HS256"]\nsecret_file = "secret"'),
        lobby(backend.port, name="sources", path="/sources/{x}", tokens=(
            f'algorithms = ["HS256"]\nsecret = "{SECRET}"\nissuer = "me"\naudience = ["here", "there"]\n'
            'sources = ["header", "query:token", "cookie:session", "subprotocol:bearer"]')),
    ]
    for name, key in KEYS.items():
        (directory / f"{name}.pem").write_bytes(pem(key))
        low, tokens = name.lower(), f'algorithms = ["{name}"]\npublic_key_file = "{name}.pem"'
        endpoints.append(lobby(backend.port, name=low, path=f"/{low}/{{x}}", tokens=tokens))
    (directory / "keys.json").write_text(json.dumps({"keys": [jwk(name, key) for name, key in KEYS.items()]}))
    tokens = 'algorithms = ["RS256", "ES256", "EdDSA"]\njwks_file = "keys.json"'
    endpoints.append(lobby(backend.port, name="jwks", path="/jwks/{x}", tokens=tokens))
    trunkline = Gateway(directory, "".join(endpoints))
    yield trunkline, backend
    trunkline.kill()
    backend.stop()
    check_log(trunkline)


def status(refused):
    assert refused.value.response.headers["WWW-Authenticate"].startswith("Bearer")
    return refused.value.response.status_code


def heard_of(backend, client, user):
    backend.expect(("open", user))
    client.close()
    backend.expect(("close", user))


@pytest.mark.parametrize("name, path", [
    ("HS256", "/hs256/1"),
    *[(name, f"/{name.lower()}/1") for name in KEYS],
    *[(name, "/jwks/1") for name in KEYS],
])
def test_an_algorithm(name, path, place):
    trunkline, backend = place
    key = KEYS.get(name, SECRET)
    user = f"{name} {path}"
    heard_of(backend, trunkline.connect(user, path, bearer=token(user, key, name)), user)
    with pytest.raises(InvalidStatus) as refused:
        trunkline.connect(user, path, bearer=token(user, key, name, exp=int(time.time()) - 1))
    assert status(refused) == 401


def test_a_key_id_selects_among_the_keys_of_a_set(place):
    trunkline, backend = place
    for name, key in KEYS.items():
        bearer = token(name, key, name, headers={"kid": name})
        heard_of(backend, trunkline.connect(name, "/jwks/1", bearer=bearer), name)


@pytest.mark.parametrize("path, bearer", [
    ("/rs256/1", token("mallory", rsa.generate_private_key(65537, 2048), "RS256")),
    ("/es256/1", token("mallory", ec.generate_private_key(ec.SECP256R1()), "ES256")),
    ("/eddsa/1", token("mallory", ed25519.Ed25519PrivateKey.generate(), "EdDSA")),
    ("/hs256/1", token("mallory", SECRET + "!")),
    ("/hs256/1", token("mallory", SECRET, "HS512")),
    ("/hs256/1", jwt.encode({"sub": "mallory"}, None, algorithm="none")),
    ("/hs256/1", jwt.encode({"name": "mallory"}, SECRET, algorithm="HS256")),
    ("/hs256/1", "nonsense"),
    ("/hs256/1", ""),
    ("/rs256/1", token("mallory")),
])
def test_another_token_is_refused_and_the_backend_hears_nothing(path, bearer, place):
    trunkline, backend = place
    with pytest.raises(InvalidStatus) as refused:
        trunkline.connect("mallory", path, bearer=bearer)
    assert status(refused) == 401
    assert all("frame" not in item for item in list(backend.heard.queue))


def test_the_places_of_a_token(place):
    trunkline, backend = place
    bearer = token("ann", iss="me", aud="there")
    in_query = trunkline.connect("ann", f"/sources/1?a=b&token={bearer}", bearer="")
    heard_of(backend, in_query, "ann")
    as_cookie = trunkline.connect("bob", "/sources/1", bearer="",
                                  cookies=f"a=b; session={token('bob', iss='me', aud=['x', 'here'])}")
    heard_of(backend, as_cookie, "bob")
    bearer = token("cid", iss="me", aud="here")
    as_subprotocol = trunkline.connect("cid", "/sources/1", bearer="", subprotocols=["bearer", bearer])
    assert as_subprotocol.subprotocol == "bearer", "the token itself is not said back"
    heard_of(backend, as_subprotocol, "cid")
    for claims in [{"iss": "you", "aud": "here"}, {"iss": "me", "aud": "away"}, {}]:
        with pytest.raises(InvalidStatus) as refused:
            trunkline.connect("dan", "/sources/1", bearer=token("dan", **claims))
        assert status(refused) == 401
