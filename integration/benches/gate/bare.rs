//! The yardstick: a Pingora proxy that looks at nothing.

use async_trait::async_trait;
use pingora::prelude::*;
use pingora::server::configuration::{Opt, ServerConf};

struct Bare(String);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0.as_str(), false, String::new())))
    }
}

/// Proxies `listen` to `server` with one thread until the process is ended.
pub fn main(listen: &str, server: &str) {
    let conf = ServerConf { threads: 1, ..ServerConf::default() };
    let mut process = Server::new_with_opt_and_conf(Opt::default(), conf);
    process.bootstrap();
    let mut service = http_proxy_service(&process.configuration, Bare(server.to_owned()));
    service.add_tcp(listen);
    process.add_service(service);
    println!("ready {listen}");
    process.run_forever();
}
