//! What is known before the first event: the script with all that it imports, and what is recorded of each point.

use profinfer_compiler::recording::{Stream, template_word};

use super::bytes::{Put, Take};

/// The beginning of a recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Head {
    /// The profinfer that recorded it.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// The script.
    pub script: Text,
    /// What it imports.
    pub imports: Vec<Import>,
    /// Its parameters as they were set.
    pub params: Vec<(String, String)>,
    /// The engine description, where it was not a built-in one.
    pub engine: Option<Text>,
    /// The script was allowed to say how memory is laid out.
    pub allows_reads: bool,
    /// The tables were filled at the same time.
    pub with_tables: bool,
    /// What the machine can do at most, as JSON; empty where that is not known.
    pub ceilings: String,
    /// What is recorded, point by point.
    pub streams: Vec<Recorded>,
}

/// A text with its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// As messages call it.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A file that was imported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Import {
    /// The key of the file that imports it.
    pub from: String,
    /// How it is named there.
    pub wanted: String,
    /// Its key.
    pub key: String,
    /// Its name and text.
    pub text: Text,
}

/// What is recorded of a point's events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The point.
    pub point: String,
    /// How its events come about.
    pub template: String,
    /// What is recorded.
    pub fields: Vec<Field>,
}

/// Something that is recorded of every event of a point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field {
    /// As the script sees it.
    pub text: String,
    /// Its type, as `profinfer list` writes it.
    pub ty: String,
    /// What is read.
    pub identity: String,
    /// Bytes of a text; none of a number.
    pub text_bytes: Option<u32>,
}

impl Field {
    /// Bytes that it takes in the kernel's event.
    pub fn bytes(&self) -> usize {
        self.text_bytes.map_or(8, |n| n.next_multiple_of(8) as usize)
    }
}

impl From<&Stream> for Recorded {
    fn from(stream: &Stream) -> Self {
        let field = |leaf: &profinfer_compiler::recording::Leaf| Field {
            text: leaf.text.clone(),
            ty: leaf.ty.to_string(),
            identity: leaf.identity.clone(),
            text_bytes: leaf.text_bytes,
        };
        Self {
            point: stream.point.clone(),
            template: template_word(stream.template),
            fields: stream.leaves.iter().map(field).collect(),
        }
    }
}

impl Head {
    /// As a block.
    pub fn put(&self) -> Vec<u8> {
        let mut out = Put::default();
        out.text(&self.version);
        out.text(&self.kernel);
        self.script.put(&mut out);
        out.list(self.imports.iter(), |out, import| {
            out.text(&import.from);
            out.text(&import.wanted);
            out.text(&import.key);
            import.text.put(out);
        });
        out.list(self.params.iter(), |out, (name, value)| {
            out.text(name);
            out.text(value);
        });
        out.list(self.engine.iter(), |out, engine| engine.put(out));
        out.int(u64::from(self.allows_reads) | u64::from(self.with_tables) << 1);
        out.text(&self.ceilings);
        out.list(self.streams.iter(), |out, stream| {
            out.text(&stream.point);
            out.text(&stream.template);
            out.list(stream.fields.iter(), |out, field| {
                out.text(&field.text);
                out.text(&field.ty);
                out.text(&field.identity);
                out.int(field.text_bytes.map_or(0, |n| u64::from(n) + 1));
            });
        });
        out.0
    }

    /// Out of a block; none if it is no such block.
    pub fn take(block: &[u8]) -> Option<Self> {
        let mut from = Take(block);
        let version = from.text()?;
        let kernel = from.text()?;
        let script = Text::take(&mut from)?;
        let imports = from.list(|from| {
            Some(Import { from: from.text()?, wanted: from.text()?, key: from.text()?, text: Text::take(from)? })
        })?;
        let params = from.list(|from| Some((from.text()?, from.text()?)))?;
        let engine = from.list(Text::take)?.pop();
        let flags = from.int()?;
        let ceilings = from.text()?;
        let streams = from.list(|from| {
            let (point, template) = (from.text()?, from.text()?);
            let fields = from.list(|from| {
                let (text, ty, identity) = (from.text()?, from.text()?, from.text()?);
                let text_bytes = match from.int()? {
                    0 => None,
                    n => Some(u32::try_from(n - 1).ok().filter(|n| *n <= MAX_TEXT)?),
                };
                Some(Field { text, ty, identity, text_bytes })
            })?;
            Some(Recorded { point, template, fields })
        })?;
        let head = Self {
            version,
            kernel,
            script,
            imports,
            params,
            engine,
            allows_reads: flags & 1 != 0,
            with_tables: flags & 2 != 0,
            ceilings,
            streams,
        };
        from.0.is_empty().then_some(head)
    }
}

/// Bytes of a text at most.
const MAX_TEXT: u32 = 4096;

impl Text {
    fn put(&self, out: &mut Put) {
        out.text(&self.name);
        out.text(&self.text);
    }

    fn take(from: &mut Take<'_>) -> Option<Self> {
        Some(Self { name: from.text()?, text: from.text()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_out_as_it_went_in() {
        let text = |name: &str| Text { name: name.to_owned(), text: format!("text of {name}") };
        let head = Head {
            version: "0.1.0".to_owned(),
            kernel: "6.18".to_owned(),
            script: text("x.pi"),
            imports: vec![Import {
                from: "a".into(),
                wanted: "./b.pi".into(),
                key: "/b.pi".into(),
                text: text("b.pi"),
            }],
            params: vec![("top".into(), "5".into())],
            engine: Some(text("e.pi")),
            allows_reads: true,
            with_tables: true,
            ceilings: "{}".to_owned(),
            streams: vec![Recorded {
                point: "ggml_op".into(),
                template: "sequence".into(),
                fields: vec![
                    Field { text: "dur".into(), ty: "duration".into(), identity: "dur".into(), text_bytes: None },
                    Field { text: "name".into(), ty: "string".into(), identity: "n".into(), text_bytes: Some(64) },
                ],
            }],
        };
        let bytes = head.put();
        assert_eq!(Head::take(&bytes), Some(head));
        for n in 0..bytes.len() {
            assert_eq!(Head::take(&bytes[..n]), None, "{n} bytes of {}", bytes.len());
        }
    }
}
