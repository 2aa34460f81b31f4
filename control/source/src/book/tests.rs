//! Sequences of listings, and exactly what each is told to change.

use super::*;

const DIRECTORY: &str = "/m";

fn pod(name: &str, node: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{nodeName: {node}}}\n---\n")
}

/// The events of a listing, one line each.
fn update(book: &mut Book, files: &[(&str, &str)]) -> Vec<String> {
    let listing = files.iter().map(|(name, text)| (Path::new(DIRECTORY).join(name), Ok((*text).to_owned())));
    show(book.update(Path::new(DIRECTORY), Ok(listing.collect())))
}

fn show(events: Vec<Event>) -> Vec<String> {
    let node = |object: &Object| match object {
        Object::Pod(pod) => pod.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default(),
        _ => String::new(),
    };
    events
        .iter()
        .map(|event| match event {
            Event::Apply(object) => format!("apply {}{}", object.key(), node(object)),
            Event::Delete(key) => format!("delete {key}"),
            Event::Synced => "synced".to_owned(),
            Event::Fault(fault) => format!("fault {fault}"),
            Event::FaultCleared { origin } => format!("cleared {origin}"),
        })
        .collect()
}

#[test]
fn objects_come_change_and_go_with_their_files() {
    let mut book = Book::default();
    assert_eq!(update(&mut book, &[("a.yaml", &pod("a", "n1"))]), ["apply Pod default/a on n1", "synced"]);
    assert_eq!(update(&mut book, &[("a.yaml", &pod("a", "n1"))]), [""; 0]);
    assert_eq!(update(&mut book, &[("a.yaml", &pod("a", "n2"))]), ["apply Pod default/a on n2"]);
    assert_eq!(update(&mut book, &[("b.yaml", &pod("a", "n2"))]), [""; 0], "moved to another file as it is");
    assert_eq!(update(&mut book, &[("b.yaml", "")]), ["delete Pod default/a"]);
    assert_eq!(update(&mut book, &[]), [""; 0]);
}

#[test]
fn a_file_that_turned_bad_keeps_its_last_good_objects() {
    let mut book = Book::default();
    let both = pod("a", "n1") + &pod("b", "n1");
    update(&mut book, &[("a.yaml", &both), ("c.yaml", &pod("c", "n1"))]);
    // Not YAML any more, while another file goes on working.
    let told = update(&mut book, &[("a.yaml", "{"), ("c.yaml", &pod("c", "n2"))]);
    assert!(told[0].starts_with("fault /m/a.yaml:") && told[0].contains("is not YAML"), "{told:?}");
    assert_eq!(told[1..], ["apply Pod default/c on n2"]);
    // One object bad: the good one is applied, the bad one stays as it was, and the one left out too.
    let bad = pod("a", "n3") + &pod("B_", "n1");
    let told = update(&mut book, &[("a.yaml", &bad), ("c.yaml", &pod("c", "n2"))]);
    assert_eq!(told[0], "cleared /m/a.yaml");
    assert!(told[1].starts_with("fault /m/a.yaml:8: Pod default/B_: metadata.name \"B_\""), "{told:?}");
    assert_eq!(told[2..], ["apply Pod default/a on n3"]);
    // Whole again: only now the one left out goes.
    let told = update(&mut book, &[("a.yaml", &pod("a", "n3")), ("c.yaml", &pod("c", "n2"))]);
    assert_eq!(told, ["cleared /m/a.yaml", "delete Pod default/b"]);
}

#[test]
fn a_bad_file_that_is_deleted_takes_its_objects_and_faults_with_it() {
    let mut book = Book::default();
    update(&mut book, &[("a.yaml", &pod("a", "n1"))]);
    update(&mut book, &[("a.yaml", "{")]);
    assert_eq!(update(&mut book, &[]), ["cleared /m/a.yaml", "delete Pod default/a"]);
}

#[test]
fn a_file_that_cannot_be_read_keeps_its_objects_and_is_read_again() {
    let mut book = Book::default();
    update(&mut book, &[("a.yaml", &pod("a", "n1"))]);
    let path = Path::new(DIRECTORY).join("a.yaml");
    let unreadable = || Problem::Unreadable(io::ErrorKind::PermissionDenied);
    let told = show(book.update(Path::new(DIRECTORY), Ok([(path.clone(), Err(unreadable()))].into())));
    assert!(told.len() == 1 && told[0].starts_with("fault /m/a.yaml: cannot be read"), "{told:?}");
    assert_eq!(show(book.update(Path::new(DIRECTORY), Ok([(path, Err(unreadable()))].into()))), [""; 0]);
    assert_eq!(update(&mut book, &[("a.yaml", &pod("a", "n1"))]), ["cleared /m/a.yaml"]);
}

#[test]
fn an_object_in_two_files_is_a_fault_naming_both_and_the_one_in_force_stays() {
    let mut book = Book::default();
    update(&mut book, &[("b.yaml", &pod("a", "n1"))]);
    let told = update(&mut book, &[("a.yaml", &pod("a", "n2")), ("b.yaml", &pod("a", "n1"))]);
    let said = "fault /m/a.yaml:1: Pod default/a: metadata.name is in /m/b.yaml:1 too, which is in force; \
                remove one of the two";
    assert_eq!(told, [said]);
    // The one in force goes: the other takes its place with no delete between.
    assert_eq!(update(&mut book, &[("a.yaml", &pod("a", "n2"))]), ["cleared /m/a.yaml", "apply Pod default/a on n2"]);
    // At the start, the first name has it.
    let told = update(&mut Book::default(), &[("b.yaml", &pod("a", "n1")), ("a.yaml", &pod("a", "n2"))]);
    assert!(told[0].starts_with("fault /m/b.yaml:1: ") && told[0].contains("/m/a.yaml:1"), "{told:?}");
    assert_eq!(told[1..], ["apply Pod default/a on n2", "synced"]);
}

#[test]
fn an_object_twice_in_one_file_is_a_fault_and_the_first_counts() {
    let mut book = Book::default();
    let told = update(&mut book, &[("a.yaml", &(pod("a", "n1") + &pod("a", "n2")))]);
    assert!(told[0].starts_with("fault /m/a.yaml:6: Pod default/a:") && told[0].contains("/m/a.yaml:1"), "{told:?}");
    assert_eq!(told[1..], ["apply Pod default/a on n1", "synced"]);
}

#[test]
fn a_directory_that_cannot_be_listed_takes_nothing_away_and_is_not_synced() {
    let mut book = Book::default();
    let gone = |book: &mut Book| show(book.update(Path::new(DIRECTORY), Err(io::ErrorKind::NotFound.into())));
    assert!(gone(&mut book)[0].starts_with("fault /m: cannot be read (entity not found)"));
    assert_eq!(gone(&mut book), [""; 0]);
    assert_eq!(
        update(&mut book, &[("a.yaml", &pod("a", "n1"))]),
        ["cleared /m", "apply Pod default/a on n1", "synced"]
    );
    assert_eq!(gone(&mut book).len(), 1);
    assert_eq!(update(&mut book, &[]), ["cleared /m", "delete Pod default/a"]);
}

fn service(name: &str, address: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: {address}, ports: [{{port: 80}}]}}\n---\n"
    )
}

#[test]
fn a_service_that_turned_bad_keeps_its_last_good_form() {
    let mut book = Book::default();
    let both = |address: &str| service("a", address) + &service("b", "10.96.0.2");
    let told = update(&mut book, &[("a.yaml", &both("10.96.0.1"))]);
    assert_eq!(told, ["apply Service default/a", "apply Service default/b", "synced"]);
    let told = update(&mut book, &[("a.yaml", &both("10.96.0"))]);
    assert!(told[0].starts_with("fault /m/a.yaml:4: Service default/a: spec.clusterIP \"10.96.0\""), "{told:?}");
    assert_eq!(told.len(), 1, "nothing changes: {told:?}");
    let told = update(&mut book, &[("a.yaml", &service("b", "10.96.0.2"))]);
    assert_eq!(told, ["cleared /m/a.yaml", "delete Service default/a"]);
}

#[test]
fn a_service_in_two_files_is_told_by_its_name() {
    let mut book = Book::default();
    let told = update(&mut book, &[("a.yaml", &service("a", "10.96.0.1")), ("b.yaml", &service("a", "10.96.0.2"))]);
    assert!(told[0].starts_with("fault /m/b.yaml:1: Service default/a: metadata.name is in /m/a.yaml:1"), "{told:?}");
}
