//! Texts, good and bad, and what is told of them.

use super::*;

/// Keys of the good objects, and `line field problem` of the defects.
fn told(text: &str) -> (Vec<String>, Vec<String>) {
    let manifest = parse(text);
    let show = |defect: &Defect| {
        let line = defect.line.map_or("?".into(), |line| line.to_string());
        let subject = defect.subject.as_ref().map_or(String::new(), |subject| format!("{subject}: "));
        format!("{line} {subject}{} {}", defect.field, defect.problem)
    };
    let objects = manifest.objects.iter().map(|(object, line)| format!("{line} {}", object.key())).collect();
    (objects, manifest.defects.iter().map(show).collect())
}

fn good(text: &str) -> Vec<String> {
    let (objects, defects) = told(text);
    assert!(defects.is_empty(), "{defects:?}");
    objects
}

#[test]
fn several_documents_and_comments_and_kinds_for_others() {
    let text = "
# leading comment
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
# nothing but a comment
---
apiVersion: apps/v1
kind: Deployment
spec: {replicas: 3, odd: [~, 1.5, -2, 123456789012345678901234567890]}
---
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
";
    assert_eq!(good(text), ["3 Namespace shop", "13 Pod shop/web"]);
    assert_eq!(parse(text).ignored, [("apps/v1 Deployment".to_owned(), 9)]);
    for empty in ["", "\n", "# x\n", "---\n", "---\n---\n"] {
        assert_eq!(good(empty), [""; 0], "{empty:?}");
    }
}

#[test]
fn lists_and_typed_lists_and_json() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n";
    assert_eq!(good(list), ["4 Pod default/a"]);
    let typed = "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\n";
    assert_eq!(good(typed), ["4 Pod default/a", "5 Pod default/b"]);
    let grouped = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSliceList\nitems:\n- metadata: {name: a}\n  addressType: IPv4\n";
    assert_eq!(good(grouped), ["4 EndpointSlice default/a"]);
    assert_eq!(good("apiVersion: v1\nkind: List\nitems:\n"), [""; 0]);
    let json = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Node\",\n\t\"metadata\": {\"name\": \"n\"}\n}\n";
    assert_eq!(good(json), ["1 Node n"]);
}

#[test]
fn text_that_is_not_yaml_is_told_with_its_line() {
    let (objects, defects) = told("apiVersion: v1\nkind: Pod\nmetadata: {name: a\n---\n");
    assert!(objects.is_empty());
    assert!(defects.len() == 1 && defects[0].contains("is not YAML"), "{defects:?}");
    assert!(defects[0].starts_with(['3', '4']), "{defects:?}");
    let (_, defects) = told("a: 1\na: 2\n");
    assert_eq!(defects, ["2  is not YAML: the key a is there twice"]);
}

#[test]
fn a_wrong_type_is_told_with_object_field_and_line_and_others_stay_good() {
    let text = "
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  hostNetwork:
    - maybe
---
apiVersion: v1
kind: Pod
metadata: {name: b}
";
    let (objects, defects) = told(text);
    assert_eq!(objects, ["9 Pod default/b"]);
    assert_eq!(defects.len(), 1);
    let start = "7 Pod default/a: spec.hostNetwork has the wrong type: invalid type: sequence, expected a boolean";
    assert!(defects[0].starts_with(start), "{defects:?}");
    let (_, defects) =
        told("apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec:\n  podCIDRs:\n  - 10.0.0.0/24\n  - 5\n");
    assert!(defects[0].starts_with("7 Node n: spec.podCIDRs[1] has the wrong type"), "{defects:?}");
}

#[test]
fn faults_of_the_model_have_the_line_of_their_field() {
    let (_, defects) = told("apiVersion: v1\nkind: Pod\nmetadata:\n  namespace: shop\n");
    assert_eq!(defects, ["4 Pod without a name: metadata.name is missing; every object needs it"]);
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Node\n  metadata:\n    name: n\n  spec:\n    \
                podCIDRs:\n    - 10.0.0.1/24\n";
    let (_, defects) = told(list);
    assert!(defects[0].starts_with("10 Node n: items[0].spec.podCIDRs[0] 10.0.0.1/24 has bits"), "{defects:?}");
}

#[test]
fn services_slices_and_policies_are_read() {
    let text = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80, targetPort: http}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.1.0.5]}]
ports: [{port: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}}
";
    assert_eq!(good(text), ["2 Service default/web", "7 EndpointSlice shop/web-1", "14 NetworkPolicy default/deny"]);
    let (_, defects) = told("apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {name: a}\n");
    assert_eq!(defects, [""; 0], "an older version is a kind that is not read");
}

#[test]
fn faults_of_services_have_the_line_of_their_field() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  clusterIP: 10.96.0.1\n  ports:\n  - port: 80\n  \
                   - port: 81\n    name: b\n    targetPort: 99999\n";
    assert_eq!(
        told(service).1,
        ["10 Service default/web: spec.ports[1].targetPort 99999 is no port; ports are 1 to 65535"]
    );
    let none = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  clusterIP: 10.96.0.1\n";
    assert_eq!(told(none).1, ["5 Service default/web: spec.ports is empty; write at least one"]);
    let wrong = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports:\n  - targetPort: [1]\n";
    let (_, defects) = told(wrong);
    let start = "6 Service default/web: spec.ports[0].targetPort has the wrong type: invalid type: sequence, expected a \
                 number or a name";
    assert!(defects[0].starts_with(start), "{defects:?}");
}

#[test]
fn faults_of_slices_and_policies_have_the_line_of_their_field() {
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\naddressType: IPv4\nendpoints:\n- \
                 addresses:\n  - 10.1.0.5\n  - 10.1.0\n";
    let (objects, defects) = told(slice);
    assert_eq!(objects, [""; 0], "a slice is never taken in part");
    assert_eq!(defects, ["8 EndpointSlice default/a: endpoints[0].addresses[1] \"10.1.0\" is no IP address"]);
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec:\n  podSelector: {}\n  \
                  ingress:\n  - ports:\n    - port: 80\n      endPort: 79\n";
    let (_, defects) = told(policy);
    assert!(defects.len() == 1 && defects[0].starts_with("9 NetworkPolicy default/a: spec.ingress[0]"), "{defects:?}");
}

#[test]
fn documents_that_are_no_objects_are_told() {
    let first = |text: &str| told(text).1.remove(0);
    assert!(first("- 1\n").starts_with("1  is not an object"));
    assert!(first("just text").starts_with("1  is not an object"));
    assert!(first("kind: Pod\n").starts_with("1 apiVersion is missing"));
    assert!(first("apiVersion: v1\nkind: 5\n").starts_with("2 kind is missing or no text"));
    assert!(first("apiVersion: v1\nkind: List\nitems: 5\n").starts_with("3 items has the wrong type"));
    assert!(first("apiVersion: v1\nkind: List\nitems:\n- 5\n").starts_with("4 items[0] is not an object"));
    assert!(first("apiVersion: v1\nkind: List\nitems:\n- {kind: Pod}\n").starts_with("4 items[0].apiVersion"));
}

#[test]
fn hostile_texts_are_refused_and_do_not_exhaust_anything() {
    let deep = "[".repeat(100_000);
    assert!(told(&deep).1[0].contains("is not YAML"));
    let mut bombs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let uses = vec![format!("*a{}", level - 1); 10].join(", ");
        bombs.push_str(&format!("a{level}: &a{level} [{uses}]\n"));
    }
    assert!(told(&bombs).1[0].contains("is not YAML"));
}
