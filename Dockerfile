# syntax=docker/dockerfile:1
# A static binary, and nothing else but the CAs of wss:// backends and https:// issuers.
#   docker build --tag trunkline .
#   docker run --read-only --cap-drop ALL --publish 8080:8080 --volume "$PWD/gateway.toml:/etc/trunkline/gateway.toml:ro" trunkline
# The version that rust-toolchain.toml names, which is left out of the context: it would have tools for tests fetched.
FROM rust:1.95.0-alpine3.22 AS build
# For aws-lc, which is C and assembly, and the CAs.
RUN apk add --no-cache build-base ca-certificates
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin trunkline \
    && install -D target/release/trunkline /out/usr/local/bin/trunkline \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt \
    && install -D -m 644 LICENSE /out/usr/share/doc/trunkline/LICENSE

FROM scratch
COPY --from=build /out /
# Nobody in particular: numbers, for there is no list of names.
USER 65532:65532
EXPOSE 8080
# SIGTERM drains; give it more than drain.time (docker stop --time 30).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["trunkline", "health", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["trunkline"]
CMD ["run", "--config", "/etc/trunkline/gateway.toml"]
