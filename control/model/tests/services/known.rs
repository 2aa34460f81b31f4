//! What does not change from one generation to the next is shared.

use std::sync::Arc;

use serde_json::{Value, json};
use sluice_model::{Index, KnownServices, Object, ServicesConfig};
use sluice_tables::{Service, Services};

use crate::scene::*;

fn slice(service: &str, addresses: &[&str]) -> Object {
    let endpoints: Vec<Value> = addresses.iter().map(|address| mk_endpoint(address, "n2")).collect();
    mk_slice(service, service, &endpoints, Value::Null)
}

fn made(known: &mut KnownServices, index: &Index) -> Services {
    let (services, faults) = known.compile(index, n1(index), &ServicesConfig::default(), 7);
    assert!(faults.is_empty(), "{faults:?}");
    services
}

fn named<'a>(services: &'a Services, name: &str) -> &'a Arc<Service> {
    services.iter().find(|service| service.name().as_ref() == name).expect("is there")
}

#[test]
fn a_service_is_made_anew_only_when_something_of_it_changes() {
    let mut index = index([mk_service("a", 1, Value::Null), mk_service("b", 2, Value::Null)]);
    index.apply(slice("a", &["10.1.2.5"]));
    index.apply(slice("b", &["10.1.2.6"]));
    let mut known = KnownServices::default();
    let before = made(&mut known, &index);
    index.apply(slice("a", &["10.1.2.5", "10.1.2.7"]));
    let after = made(&mut known, &index);
    let same = |name: &str| Arc::ptr_eq(named(&before, name), named(&after, name));
    assert_eq!((same("default/a:80"), same("default/b:80")), (false, true));
    assert_eq!(named(&after, "default/a:80").cluster().len(), 2);
}

#[test]
fn every_property_of_a_service_is_heeded() {
    let mut known = KnownServices::default();
    let mut last: Option<Arc<Service>> = None;
    for change in [
        Value::Null,
        json!({"spec": {"internalTrafficPolicy": "Local"}}),
        json!({"spec": {"externalTrafficPolicy": "Local"}}),
        json!({"spec": {"sessionAffinity": "ClientIP"}}),
        json!({"spec": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}}),
        json!({"spec": {"loadBalancerSourceRanges": ["10.0.0.0/9"]}}),
    ] {
        let services = made(&mut known, &index([mk_service("a", 1, change.clone())]));
        let service = Arc::clone(named(&services, "default/a:80"));
        assert!(last.is_none_or(|last| !Arc::ptr_eq(&last, &service)), "{change}");
        last = Some(service);
    }
}

#[test]
fn a_service_that_went_is_forgotten() {
    let with = index([mk_service("a", 1, Value::Null)]);
    let mut known = KnownServices::default();
    let first = made(&mut known, &with);
    made(&mut known, &index([]));
    let again = made(&mut known, &with);
    assert!(!Arc::ptr_eq(named(&first, "default/a:80"), named(&again, "default/a:80")));
}

#[test]
fn ten_thousand_services_with_a_hundred_thousand_endpoints_are_compiled() {
    let mut index = index([]);
    for n in 0..10_000_usize {
        let name = format!("s{n}");
        let address = format!("10.97.{}.{}", n / 250, n % 250 + 1);
        index.apply(mk_service(&name, 1, json!({"spec": {"clusterIP": address}})));
        let endpoints: Vec<Value> =
            (0..10).map(|e| mk_endpoint(&format!("10.2.{}.{}", n % 250, e + 1), "n2")).collect();
        index.apply(mk_slice(&name, &name, &endpoints, Value::Null));
    }
    let mut known = KnownServices::default();
    let services = made(&mut known, &index);
    assert_eq!(services.iter().len(), 10_000);
    assert!(services.iter().all(|service| service.cluster().len() == 10));
}
