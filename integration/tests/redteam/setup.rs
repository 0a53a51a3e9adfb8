//! The gates that the cases need.

use portcullis_integration::fixture::{ROLES, Std, config};
use portcullis_integration::gate::House;
use portcullis_integration::issuer::Issuer;
use portcullis_integration::upstream::Upstream;
use serde_json::{Value, json};

/// The gate of this name; the empty name is the usual one.
pub fn gate(name: &str) -> Std {
    match name {
        "" => Std::start(),
        "one_mebibyte" => Std::start_with(|c| c["limits"] = json!({"body_bytes": "1MiB"})),
        "second_factor" => Std::start_with(|c| c["identity"]["second_factor"] = json!(true)),
        "tenant_url" => tenant_url(),
        "small_numbers" => small_numbers(),
        other => panic!("no setup `{other}`"),
    }
}

/// The roles, with a reader who may use `safe` with small numbers only.
const SMALL_NUMBERS: &str = r#"
roles:
  reader:
    - servers: [up]
      tools: [safe]
      when: {"n": {type: number, maximum: 1000}}
"#;

fn small_numbers() -> Std {
    with_roles(|_| {}, SMALL_NUMBERS)
}

/// The account of tenant `a` has a URL of its own, which is on this very machine.
fn tenant_url() -> Std {
    let upstream = Upstream::start();
    let private = upstream.url.clone();
    Std::before(upstream, move |c| c["accounts"][0]["url"] = json!(private))
}

/// The usual gate with every tool pinned as it is, and pins enforced.
pub fn pinned() -> Std {
    let upstream = Upstream::start();
    let issuer = Issuer::new("https://idp.test", "key-1");
    let mut config = config(&upstream.url);
    config["pins"] = json!({"file": "portcullis.lock"});
    let house = House::new(&config, &[("a", ROLES), ("b", ROLES)]);
    house.write("jwks.json", &issuer.jwks().to_string());
    house.json(&["catalogue", "pin"]);
    Std { gate: house.open(1), upstream, issuer }
}

/// The usual gate with other roles in tenant `a`.
pub fn with_roles(change: impl FnOnce(&mut Value), roles: &str) -> Std {
    let upstream = Upstream::start();
    let issuer = Issuer::new("https://idp.test", "key-1");
    let mut config = config(&upstream.url);
    change(&mut config);
    let house = House::new(&config, &[("a", roles), ("b", ROLES)]);
    house.write("jwks.json", &issuer.jwks().to_string());
    Std { gate: house.open(1), upstream, issuer }
}
