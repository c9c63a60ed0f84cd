//! Names of a symbol table, found by the hash table that the file has for its loader, else by an index made once; no
//! name is copied.

use object::LittleEndian as LE;
use object::elf::{FileHeader64, GnuHashHeader, SHT_GNU_HASH, STT_FILE, STT_SECTION, Sym64, gnu_hash};
use object::pod;
use object::read::elf::{GnuHashTable, SectionHeader, SectionTable, Sym, SymbolTable, VersionTable};

/// A symbol table of a file that is mapped.
pub(super) type Table<'data> = SymbolTable<'data, FileHeader64<LE>>;

/// The hash table of a file's dynamic symbols (`.gnu.hash`): the one that the loader of the process uses.
pub(super) struct HashTable<'data>(GnuHashTable<'data, FileHeader64<LE>>);

impl<'data> HashTable<'data> {
    /// The table of a file; `None` if there is none or it makes no sense.
    pub(super) fn of(sections: &SectionTable<'data, FileHeader64<LE>>, data: &'data [u8]) -> Option<Self> {
        let section = sections.iter().find(|section| section.sh_type(LE) == SHT_GNU_HASH)?;
        let bytes = section.data(LE, data).ok()?;
        let (header, _) = pod::from_bytes::<GnuHashHeader<LE>>(bytes).ok()?;
        // A table without buckets holds nothing, and what cannot be divided or shifted by is no table.
        let sane = header.bucket_count.get(LE) > 0
            && header.bloom_count.get(LE).is_power_of_two()
            && header.bloom_shift.get(LE) < 32;
        sane.then(|| GnuHashTable::parse(LE, bytes).ok().map(Self)).flatten()
    }

    /// The symbol with this name in whatever version; the first one if there are several.
    pub(super) fn find(&self, table: &Table<'data>, wanted: &str) -> Option<&'data Sym64<LE>> {
        let name = wanted.as_bytes();
        let (_, symbol) = self.0.find(LE, name, gnu_hash(name), None, table, &VersionTable::default())?;
        (!symbol.is_undefined(LE)).then_some(symbol)
    }
}

/// Which symbols of one table may have a name: hash and number, sorted.
#[derive(Debug)]
pub(super) struct NameIndex(Vec<(u32, u32)>);

impl NameIndex {
    /// Indexes every defined symbol of the table. About 0.1 µs a symbol.
    pub(super) fn new(table: &Table<'_>) -> Self {
        let mut entries: Vec<(u32, u32)> = table
            .symbols()
            .iter()
            .zip(0_u32..)
            .filter(|(symbol, _)| !symbol.is_undefined(LE) && !matches!(symbol.st_type(), STT_SECTION | STT_FILE))
            .filter_map(|(symbol, number)| Some((hash(name(table, symbol)?), number)))
            .collect();
        entries.sort_unstable();
        Self(entries)
    }

    /// The defined symbols with this name, in the order of the table, which must be the one that was indexed.
    pub(super) fn find<'data>(&self, table: &Table<'data>, wanted: &str) -> impl Iterator<Item = &'data Sym64<LE>> {
        let wanted_hash = hash(wanted.as_bytes());
        let from = self.0.partition_point(|(hash, _)| *hash < wanted_hash);
        self.0[from..]
            .iter()
            .take_while(move |(hash, _)| *hash == wanted_hash)
            .filter_map(|(_, number)| table.symbols().get(*number as usize))
            .filter(|symbol| name(table, symbol) == Some(wanted.as_bytes()))
    }
}

/// The name without the version that linkers put behind `@` in `.symtab`; `None` where there is none.
pub(super) fn name<'data>(table: &Table<'data>, symbol: &Sym64<LE>) -> Option<&'data [u8]> {
    let name = symbol.name(LE, table.strings()).ok()?;
    let end = memchr::memchr(b'@', name).unwrap_or(name.len());
    (end > 0).then(|| &name[..end])
}

/// A multiplicative hash over words of eight bytes: names that differ in their last letters must not meet, and nobody gains by making some
/// that do, since what is found is compared.
fn hash(name: &[u8]) -> u32 {
    let (words, rest) = name.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mixed = words.iter().chain([&last]).fold(0xcbf2_9ce4_8422_2325 ^ name.len() as u64, |hash, word| {
        let hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ hash >> 32
    });
    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits of the hash will do")]
    let hash = mixed as u32;
    hash
}
