use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use sluice_model::{FieldPath, Node};

use super::*;
use crate::event::Problem;

fn name(number: u8) -> NodeName {
    NodeName::new(&format!("n{number}")).expect("a name")
}

fn item(number: u8, version: u64, good: bool) -> Item {
    let subject = Key::Node(name(number)).subject();
    let fault = Fault {
        origin: Origin::Object(subject.clone()),
        line: None,
        subject: Some(subject.clone()),
        field: FieldPath::root(),
        problem: Problem::NotAnObject,
    };
    let form = if good { Ok(Object::Node(Node::named(name(number)))) } else { Err(vec![fault]) };
    Item { subject, version: Version::new(&version.to_string()), form }
}

/// Whoever listens: what it holds, and of what it knows faults.
#[derive(Debug, Default)]
struct Listener {
    objects: BTreeSet<Key>,
    faulty: BTreeSet<Origin>,
}

impl Listener {
    fn hear(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Apply(object) => drop(self.objects.insert(object.key())),
                Event::Delete(key) => assert!(self.objects.remove(&key), "{key} was there"),
                Event::Fault(fault) => drop(self.faulty.insert(fault.origin)),
                Event::FaultCleared { origin } => assert!(self.faulty.remove(&origin), "{origin} had a fault"),
                Event::Synced => panic!("not told here"),
            }
        }
    }
}

#[test]
fn an_object_that_was_only_ever_faulty_goes_without_a_deletion() {
    let (mut known, mut listener) = (Known::new(), Listener::default());
    known.begin_list();
    listener.hear(known.listed(item(1, 1, false)));
    listener.hear(known.end_list("2"));
    assert_eq!((known.objects(), known.faulty()), (0, 1));
    listener.hear(known.gone(&item(1, 3, false)));
    assert_eq!((known.faulty(), listener.faulty.len()), (0, 0));
}

#[test]
fn a_list_whose_object_makes_no_sense_keeps_its_last_good_form() {
    let (mut known, mut listener) = (Known::new(), Listener::default());
    known.begin_list();
    listener.hear(known.listed(item(1, 1, true)));
    listener.hear(known.end_list("1"));
    known.begin_list();
    listener.hear(known.listed(item(1, 2, false)));
    listener.hear(known.end_list("2"));
    assert_eq!((listener.objects.len(), listener.faulty.len()), (1, 1));
    // The next list does not have it at all.
    known.begin_list();
    listener.hear(known.end_list("3"));
    assert_eq!((listener.objects.len(), listener.faulty.len()), (0, 0));
}

#[test]
fn a_list_that_breaks_off_takes_nothing_away() {
    let (mut known, mut listener) = (Known::new(), Listener::default());
    known.begin_list();
    listener.hear([item(1, 1, true), item(2, 2, true)].into_iter().flat_map(|item| known.listed(item)).collect());
    listener.hear(known.end_list("3"));
    known.begin_list();
    assert_eq!(known.listed(item(1, 1, true)), [], "nothing new");
    known.begin_list();
    assert_eq!(known.listed(item(2, 2, true)), []);
    listener.hear(known.end_list("4"));
    assert_eq!(listener.objects, BTreeSet::from([Key::Node(name(2))]), "by the list that was completed");
}

/// What a server does.
#[derive(Clone, Debug)]
enum Step {
    Put {
        number: u8,
        good: bool,
    },
    Remove {
        number: u8,
    },
    /// Tells an earlier event once more.
    Again {
        back: usize,
    },
    /// The watch breaks, and a list is read, after one that broke off where so many objects had come.
    List {
        broken_after: usize,
    },
    Bookmark,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = 0..6_u8;
    let step = prop_oneof![
        4 => (number.clone(), any::<bool>()).prop_map(|(number, good)| Step::Put { number, good }),
        2 => number.prop_map(|number| Step::Remove { number }),
        1 => (0..8_usize).prop_map(|back| Step::Again { back }),
        1 => (0..4_usize).prop_map(|broken_after| Step::List { broken_after }),
        1 => Just(Step::Bookmark),
    ];
    vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the server does, and however often it says it: the listener has every object in its last good form and
    /// knows of every faulty one.
    #[test]
    fn the_listener_always_has_what_the_server_has(steps in steps()) {
        let (mut known, mut listener) = (Known::new(), Listener::default());
        // Of each object the newest version, whether that is good, and whether any since it was made was.
        let mut server: BTreeMap<u8, (u64, bool, bool)> = BTreeMap::new();
        let mut history: Vec<(Item, bool)> = Vec::new();
        let mut version = 1;
        known.begin_list();
        listener.hear(known.end_list("1"));
        for step in steps {
            version += 1;
            match step {
                Step::Put { number, good } => {
                    let was_good = server.get(&number).is_some_and(|(_, _, was_good)| *was_good);
                    server.insert(number, (version, good, was_good || good));
                    history.push((item(number, version, good), true));
                    listener.hear(known.there(item(number, version, good)));
                }
                Step::Remove { number } => {
                    let Some((_, good, _)) = server.remove(&number) else { continue };
                    history.push((item(number, version, good), false));
                    listener.hear(known.gone(&item(number, version, good)));
                }
                Step::Again { back } => {
                    let Some((item, there)) = history.iter().rev().nth(back).cloned() else { continue };
                    listener.hear(if there { known.there(item) } else { known.gone(&item) });
                }
                Step::List { broken_after } => {
                    let items = || server.iter().map(|(number, (version, good, _))| item(*number, *version, *good));
                    known.begin_list();
                    let broken: Vec<_> = items().take(broken_after).flat_map(|item| known.listed(item)).collect();
                    listener.hear(broken);
                    known.begin_list();
                    let whole: Vec<_> = items().flat_map(|item| known.listed(item)).collect();
                    listener.hear(whole);
                    listener.hear(known.end_list(&version.to_string()));
                }
                Step::Bookmark => known.bookmark(&version.to_string()),
            }
            let objects = server.iter().filter(|(_, (_, _, was_good))| *was_good).map(|(number, _)| Key::Node(name(*number)));
            prop_assert_eq!(&listener.objects, &objects.collect::<BTreeSet<_>>());
            let faulty = server.iter().filter(|(_, (_, good, _))| !good);
            let faulty = faulty.map(|(number, _)| Origin::Object(Key::Node(name(*number)).subject()));
            prop_assert_eq!(&listener.faulty, &faulty.collect::<BTreeSet<_>>());
            prop_assert_eq!(known.objects(), listener.objects.len());
        }
    }
}
