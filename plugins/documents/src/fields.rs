//! Where to look in documents. Paths are compiled once; then a document's text is read front to back, and of all it
//! holds only what lies at one of them is kept, as text.
//!
//! A path is names with dots between them. Documents may nest (`{"host": {"name": …}}`) or hold dotted names
//! (`{"host.name": …}`), also in part; a list of one is its element, as search engines see it. Null is nothing. Where a
//! document has a path in several of these ways, what is left of it as one name counts before parts of it, and a shorter
//! part before a longer one.

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::value::Raw;

/// Compiled paths, each with a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// A tree of names; the first is the document.
    nodes: Vec<Node>,
    paths: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    /// By length and then bytes, which most comparisons need not look at.
    children: Vec<(Box<str>, usize)>,
    /// The path that ends here.
    path: Option<usize>,
}

/// What a document has at each path.
#[derive(Debug, Clone, Default)]
pub struct Found<'a>(Vec<Option<(Rank, Raw<'a>)>>);

/// In which of several ways a document has a path: the lengths of its parts, four bits each, the first in the highest;
/// the last one is 0. The lowest rank counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u64);

impl Fields {
    /// Compiles paths; the first gets the number 0, and one that comes again its first number.
    pub fn new<P: AsRef<str>>(paths: impl IntoIterator<Item = P>) -> Self {
        let mut fields = Self {
            nodes: vec![Node::default()],
            paths: 0,
        };
        for path in paths {
            fields.add(path.as_ref());
        }
        fields
    }

    /// Adds a path; its number.
    pub fn add(&mut self, path: &str) -> usize {
        let mut node = 0;
        for name in path.split('.') {
            node = match self.place(node, name.as_bytes()) {
                Ok(place) => self.nodes[node].children[place].1,
                Err(place) => {
                    let child = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[node]
                        .children
                        .insert(place, (name.into(), child));
                    child
                }
            };
        }
        *self.nodes[node].path.get_or_insert_with(|| {
            self.paths += 1;
            self.paths - 1
        })
    }

    /// Reads a document, an object or a list of one; what `found` held before is gone.
    ///
    /// # Errors
    /// When the text is no JSON.
    pub fn read<'a>(&self, json: &'a str, found: &mut Found<'a>) -> serde_json::Result<()> {
        // JSON's grammar has values that nothing can hold, as `1e999` and half a surrogate pair. Where no path leads
        // they harm nobody, but only a look at each value's text first passes them over, and that costs time.
        self.read_once(json, found, false)
            .or_else(|_| self.read_once(json, found, true))
    }

    fn read_once<'a>(
        &self,
        json: &'a str,
        found: &mut Found<'a>,
        text_first: bool,
    ) -> serde_json::Result<()> {
        found.0.clear();
        found.0.resize(self.paths, None);
        let mut json = serde_json::Deserializer::from_str(json);
        let look = Look {
            fields: self,
            text_first,
            node: 0,
            rank: Rank::default(),
            depth: 0,
            names: 0,
            found,
        };
        look.deserialize(&mut json)?;
        json.end()
    }

    /// Where a name is, or belongs, among a node's children.
    fn place(&self, node: usize, name: &[u8]) -> Result<usize, usize> {
        let order = |(child, _): &(Box<str>, usize)| {
            let lengths = child.len().cmp(&name.len());
            lengths.then_with(|| child.as_bytes().cmp(name))
        };
        self.nodes[node].children.binary_search_by(order)
    }

    /// The node behind a name in a document, which may hold several with dots between them, and how many it holds.
    fn step(&self, node: usize, name: &[u8]) -> Option<(usize, u8)> {
        if let Ok(place) = self.place(node, name) {
            return Some((self.nodes[node].children[place].1, 1));
        }
        if !name.contains(&b'.') {
            return None;
        }
        let mut at = (node, 0_u8);
        for name in name.split(|byte| *byte == b'.') {
            let place = self.place(at.0, name).ok()?;
            at = (self.nodes[at.0].children[place].1, at.1.saturating_add(1));
        }
        Some(at)
    }
}

impl<'a> Found<'a> {
    /// What is at the path of that number.
    pub fn at(&self, path: usize) -> Option<Raw<'a>> {
        self.0.get(path)?.map(|(_, raw)| raw)
    }
}

impl Rank {
    /// With a further part in front of what is left.
    fn then(self, depth: u8, names: u8) -> Self {
        let shift = 60_u32.saturating_sub(4 * u32::from(depth));
        Self(self.0 | u64::from(names.min(15)) << shift)
    }
}

/// Reads the value behind a name.
struct Look<'f, 's, 'a> {
    fields: &'f Fields,
    text_first: bool,
    /// What is looked for from here on.
    node: usize,
    /// Of the parts before the last one.
    rank: Rank,
    depth: u8,
    /// Names in the last part.
    names: u8,
    found: &'s mut Found<'a>,
}

impl<'a> Look<'_, '_, 'a> {
    fn keep(&mut self, path: usize, text: &'a str) {
        let text = sole(text);
        let slot = &mut self.found.0[path];
        if text != "null" && slot.is_none_or(|(rank, _)| self.rank <= rank) {
            *slot = Some((self.rank, Raw::new(text)));
        }
    }

    /// Reads what was kept as text.
    fn read_text(self, text: &'a str) -> serde_json::Result<()> {
        serde_json::Deserializer::from_str(text).deserialize_any(self)
    }
}

impl<'a> DeserializeSeed<'a> for Look<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(mut self, deserializer: D) -> Result<(), D::Error> {
        let fields = self.fields;
        let node = &fields.nodes[self.node];
        if node.path.is_none() && !self.text_first {
            return deserializer.deserialize_any(self);
        }
        let text = <&RawValue>::deserialize(deserializer)?.get();
        if let Some(path) = node.path {
            self.keep(path, text);
        }
        if node.children.is_empty() || !text.starts_with(['{', '[']) {
            return Ok(());
        }
        self.read_text(text).map_err(D::Error::custom)
    }
}

impl<'a> Visitor<'a> for Look<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a document")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        // The document itself is no part of a path.
        let (rank, depth) = match self.names {
            0 => (self.rank, 0),
            names => (
                self.rank.then(self.depth, names),
                self.depth.saturating_add(1),
            ),
        };
        let name = Name {
            fields: self.fields,
            node: self.node,
        };
        while let Some(step) = map.next_key_seed(name)? {
            let Some((node, names)) = step else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            map.next_value_seed(Look {
                fields: self.fields,
                text_first: self.text_first,
                node,
                rank,
                depth,
                names,
                found: &mut *self.found,
            })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some(first) = seq.next_element::<&RawValue>()? else {
            return Ok(());
        };
        let mut others = 0_usize;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            others += 1;
        }
        match others {
            // Unwrapped here and not by another turn of this function: what nests for ever must not fill the stack.
            0 => match sole(first.get()) {
                text if text.starts_with('{') => self.read_text(text).map_err(A::Error::custom),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Looks a name up, without a copy of it.
#[derive(Clone, Copy)]
struct Name<'f> {
    fields: &'f Fields,
    node: usize,
}

impl<'a> DeserializeSeed<'a> for Name<'_> {
    type Value = Option<(usize, u8)>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        // Bytes, because a name with half a surrogate pair is no text.
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<(usize, u8)>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(self.fields.step(self.node, name))
    }
}

/// Lists of one in one another that are looked into; each costs a look at all of the text.
const MOST_LISTS: usize = 32;

/// The element of a list of one, also of one in another.
fn sole(mut text: &str) -> &str {
    for _ in 0..MOST_LISTS {
        if !text.starts_with('[') {
            break;
        }
        match serde_json::from_str::<Vec<&RawValue>>(text).as_deref() {
            Ok([one]) => text = one.get(),
            _ => break,
        }
    }
    text
}
