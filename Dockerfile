# The gate. Base images by ARG, so that a local mirror will do:
#   docker build --build-arg BUILD_IMAGE=registry.local/rust:1.95 --build-arg RUN_IMAGE=registry.local/debian:13-slim .
# The build image needs Rust 1.95 and a C compiler; cmake and curl are installed only where they are missing.
# A pipeline that has built and tested the binary already puts it at dist/portcullis; no Rust is needed then:
#   docker build --build-arg BINARY=prebuilt .
ARG BUILD_IMAGE=rust:1.95-trixie
ARG RUN_IMAGE=debian:13-slim
# `source`: built here. `prebuilt`: dist/portcullis, made for a C library that is not newer than the one of RUN_IMAGE.
ARG BINARY=source

FROM ${BUILD_IMAGE} AS source
RUN command -v cmake >/dev/null && command -v cc >/dev/null \
    || { apt-get update && apt-get install --yes --no-install-recommends cmake gcc g++ make perl && rm -rf /var/lib/apt/lists/*; }
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --release --locked --package portcullis && cp target/release/portcullis /portcullis

FROM scratch AS prebuilt
COPY dist/portcullis /portcullis

FROM ${BINARY} AS binary

FROM ${RUN_IMAGE}
# git and ssh-keygen: policies that are pulled from a repository, and their signatures.
RUN command -v curl >/dev/null && command -v git >/dev/null && command -v ssh-keygen >/dev/null && test -e /etc/ssl/certs/ca-certificates.crt \
    || { apt-get update && apt-get install --yes --no-install-recommends ca-certificates curl git openssh-client && rm -rf /var/lib/apt/lists/*; }
RUN groupadd --gid 10001 portcullis && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin portcullis \
    && install --directory --owner portcullis --group portcullis --mode 0700 /var/lib/portcullis
COPY --from=binary --chmod=0755 /portcullis /usr/local/bin/portcullis
COPY policies /etc/portcullis/policies
USER 10001:10001
VOLUME /var/lib/portcullis
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s CMD curl --fail --silent http://127.0.0.1:9901/livez
ENTRYPOINT ["portcullis"]
CMD ["run", "--config", "/etc/portcullis/portcullis.yaml"]
