# Roadstead in an image: `docker build -t roadstead .`
#
# It listens on port 5000 and refuses to start until it has users: ROADSTEAD_AUTH__METHOD=htpasswd with a
# password file, or ROADSTEAD_AUTH__ALLOW_OPEN=true. docker-compose.yml runs it beside Kubo and Postgres.

FROM rust:1-slim-bookworm AS build
WORKDIR /build
# Dependencies are compiled in a layer of their own, which is reused until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/registries tests/storage_behaviour tests/index_behaviour \
  && for place in src benches/registries tests/storage_behaviour tests/index_behaviour; do \
       echo 'fn main() {}' > "$place/main.rs"; \
     done \
  && touch src/lib.rs \
  && cargo build --release --locked
COPY src src
# COPY preserves modification times, which may be older than the build above.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --uid 10001 --home-dir /var/lib/roadstead --create-home roadstead
COPY --from=build /build/target/release/roadstead /usr/local/bin/roadstead
USER 10001
ENV ROADSTEAD_SERVER__LISTEN=0.0.0.0:5000
ENV ROADSTEAD_SERVER__DATA=/var/lib/roadstead
VOLUME /var/lib/roadstead
EXPOSE 5000
# Whether the process answers; /readyz also checks the index and the storage. The check uses the shell, so the image needs no
# HTTP client. With server.tls it needs another check.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/5000 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && grep --quiet '^HTTP/1.. 200' <&3"]
ENTRYPOINT ["roadstead"]
CMD ["serve"]
