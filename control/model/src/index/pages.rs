//! All objects, a page at a time: for a reader who must not keep the index from changing for as long as all would take.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::Index;
use crate::object::{Key, Kind, Object};

impl Index {
    /// The objects behind `after` in the order of keys, or from the first one on: at most `most`. With the key of the last one
    /// the next page is had. What comes and goes meanwhile may or may not be seen; what stays is seen once.
    pub fn page(&self, after: Option<&Key>, most: usize) -> Vec<Object> {
        let wanted = |kind: Kind| after.is_none_or(|after| kind >= after.kind());
        let nodes = wanted(Kind::Node).then(|| match after {
            Some(Key::Node(name)) => behind(&self.nodes, Some(name)),
            _ => behind(&self.nodes, None),
        });
        let pods = wanted(Kind::Pod).then(|| match after {
            Some(Key::Pod(name)) => behind(&self.pods, Some(name)),
            _ => behind(&self.pods, None),
        });
        let namespaces = wanted(Kind::Namespace).then(|| match after {
            Some(Key::Namespace(name)) => behind(&self.namespaces, Some(name)),
            _ => behind(&self.namespaces, None),
        });
        let services = wanted(Kind::Service).then(|| match after {
            Some(Key::Service(name)) => behind(&self.services, Some(name)),
            _ => behind(&self.services, None),
        });
        let slices = wanted(Kind::EndpointSlice).then(|| match after {
            Some(Key::EndpointSlice(name)) => behind(&self.endpoint_slices, Some(name)),
            _ => behind(&self.endpoint_slices, None),
        });
        let policies = wanted(Kind::NetworkPolicy).then(|| match after {
            Some(Key::NetworkPolicy(name)) => behind(&self.network_policies, Some(name)),
            _ => behind(&self.network_policies, None),
        });
        let all = (nodes.into_iter().flatten().cloned().map(Object::Node))
            .chain(pods.into_iter().flatten().cloned().map(Object::Pod))
            .chain(namespaces.into_iter().flatten().cloned().map(Object::Namespace))
            .chain(services.into_iter().flatten().cloned().map(|service| Object::Service(Box::new(service))))
            .chain(slices.into_iter().flatten().cloned().map(Object::EndpointSlice))
            .chain(policies.into_iter().flatten().cloned().map(Object::NetworkPolicy));
        all.take(most).collect()
    }
}

fn behind<'a, K: Ord, V>(map: &'a BTreeMap<K, V>, after: Option<&K>) -> impl Iterator<Item = &'a V> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    map.range((from, Bound::Unbounded)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{NamespaceName, NodeName};
    use crate::namespace::Namespace;
    use crate::node::Node;
    use crate::object::Labels;

    #[test]
    fn pages_of_any_size_hold_every_object_once() {
        let mut index = Index::new();
        for name in ["a", "b", "c"] {
            index.apply(Object::Node(Node::named(NodeName::new(name).expect("a name"))));
            let name = NamespaceName::new(name).expect("a name");
            index.apply(Object::Namespace(Namespace { name, labels: Labels::new() }));
        }
        let whole = index.page(None, 100);
        assert_eq!(whole.len(), 6);
        for most in 1..=6 {
            let mut read: Vec<Object> = Vec::new();
            loop {
                let page = index.page(read.last().map(Object::key).as_ref(), most);
                if page.is_empty() {
                    break;
                }
                read.extend(page);
            }
            assert_eq!(read, whole, "by {most}");
        }
    }
}
