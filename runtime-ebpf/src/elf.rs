//! Maps and programs as an ELF object file, as compilers of eBPF write it: for `llvm-objdump`, `bpftool` and loaders.
//!
//! Programs are in section `uprobe`, those of kernel events in `tracepoint/category/name`, `raw_tracepoint/name` and `perf_event`,
//! the one that keeps what threads count in `raw_tracepoint/sched_switch`, a function each. Maps are variables in `.maps`, described by `.BTF`. The
//! counters are `.bss` and fresh rows `.rodata`, since programs name those by address. Nothing says where the programs are
//! attached, the gate in the counters is shut, and no process is in the map of targets that kernel events ask: all is up to who
//! loads it.

use std::collections::{HashMap, HashSet};

use object::elf::R_BPF_64_64;
use object::write::{Object as File, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

use crate::asm::Code;
use crate::btf::Types;
use crate::counting::SWITCHES;
use crate::layout::MapId;
use crate::object::{MapKind, MapSpec, Object, Program, RAW_TRACEPOINT};

/// Bytes of a pointer.
const POINTER: u32 = 8;
/// Where the program is that keeps what threads count.
const SWITCHES_IN: &str = "raw_tracepoint/sched_switch";
/// `BPF_MAP_TYPE_ARRAY_OF_MAPS`.
const ARRAY_OF_MAPS: u32 = 12;

/// Writes the object file.
///
/// # Errors
/// It is too large for its format.
pub fn write(object: &Object, license: &str) -> Result<Vec<u8>, object::write::Error> {
    let mut writer = Writer {
        file: File::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little),
        types: Types::new(),
        maps: HashMap::new(),
        names: HashSet::new(),
    };
    let text = writer.file.add_section(Vec::new(), b"uprobe".to_vec(), SectionKind::Text);
    let switches = object
        .switches
        .is_some()
        .then(|| writer.file.add_section(Vec::new(), SWITCHES_IN.as_bytes().to_vec(), SectionKind::Text));
    let section = writer.file.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    writer.file.append_section_data(section, &[license.as_bytes(), b"\0"].concat(), 1);
    writer.maps(&object.maps);
    let mut sections = HashMap::from([("uprobe".to_owned(), text)]);
    sections.extend(switches.map(|section| (SWITCHES_IN.to_owned(), section)));
    for program in object.programs.iter().chain(&object.checks) {
        let name = section_of(program);
        let section = match sections.get(&name) {
            Some(known) => *known,
            None => {
                let section = writer.file.add_section(Vec::new(), name.clone().into_bytes(), SectionKind::Text);
                sections.insert(name, section);
                section
            }
        };
        writer.program(section, &program.name, &program.code)?;
    }
    if let (Some(section), Some(code)) = (switches, &object.switches) {
        writer.program(section, SWITCHES, code)?;
    }
    let section = writer.file.add_section(Vec::new(), b".BTF".to_vec(), SectionKind::Other);
    writer.file.append_section_data(section, &writer.types.encode(), 4);
    writer.file.write()
}

struct Writer {
    file: File<'static>,
    types: Types,
    maps: HashMap<MapId, SymbolId>,
    names: HashSet<String>,
}

impl Writer {
    fn maps(&mut self, maps: &[MapSpec]) {
        let int = self.types.int();
        let (values, described): (Vec<_>, Vec<_>) = maps.iter().partition(|m| is_data(m));
        let section = self.file.add_section(Vec::new(), b".maps".to_vec(), SectionKind::Data);
        let mut variables = Vec::new();
        for map in described {
            let name = self.name(&map.name);
            let mut of = self.shape(map, int);
            let mut size = members(map) * POINTER;
            if map.swapped {
                let inner = self.types.pointer(of);
                let inner = self.types.array(inner, int, 0);
                let numbers = [("type", ARRAY_OF_MAPS), ("key_size", 4), ("value_size", 4), ("max_entries", 2)]
                    .map(|(n, v)| (n, self.number(v, int)));
                of = self.types.pointers(&[&numbers[..], &[("values", inner)]].concat());
                // The array has no elements, but its type takes the place of a member.
                size = 5 * POINTER;
            }
            let id = self.symbol(&name, SymbolKind::Data);
            let offset = self.file.add_symbol_data(id, section, &vec![0; size as usize], u64::from(POINTER));
            self.maps.insert(map.id, id);
            variables.push([self.types.variable(&name, of), offset as u32, size]);
        }
        self.types.section(".maps", &variables);
        for map in values {
            self.data(map, int);
        }
    }

    /// A map of one value as a section of data of its own.
    fn data(&mut self, map: &MapSpec, int: u32) {
        let name = self.name(&map.name);
        let (section, kind) = match map.value {
            Some(_) => (".rodata", SectionKind::ReadOnlyData),
            None => (".bss", SectionKind::UninitializedData),
        };
        let id = self.file.add_section(Vec::new(), section.as_bytes().to_vec(), kind);
        let symbol = self.symbol(&name, SymbolKind::Data);
        let align = u64::from(POINTER);
        match &map.value {
            Some(value) => self.file.add_symbol_data(symbol, id, value, align),
            None => self.file.add_symbol_bss(symbol, id, u64::from(map.value_size), align),
        };
        self.maps.insert(map.id, symbol);
        let word = self.types.u64();
        let of = self.types.array(word, int, map.value_size.div_ceil(8));
        let variable = self.types.variable(&name, of);
        self.types.section(section, &[[variable, 0, map.value_size]]);
    }

    /// The type that tells a loader how a map is made: pointers to arrays as long as what they say.
    fn shape(&mut self, map: &MapSpec, int: u32) -> u32 {
        let (kind, sized) = match map.kind {
            MapKind::Hash => (1, true),
            MapKind::Shared | MapKind::Array => (2, true),
            MapKind::LruHash => (9, true),
            MapKind::Ring => (27, false),
            MapKind::Stacks => (7, true),
            MapKind::Perf => (4, true),
        };
        let mut numbers = vec![("type", kind), ("max_entries", map.max_entries)];
        if sized {
            numbers.extend([("key_size", map.key_size), ("value_size", map.value_size)]);
        }
        let numbers: Vec<(&str, u32)> = numbers.into_iter().map(|(n, v)| (n, self.number(v, int))).collect();
        self.types.pointers(&numbers)
    }

    fn number(&mut self, value: u32, int: u32) -> u32 {
        let array = self.types.array(int, int, value);
        self.types.pointer(array)
    }

    fn program(&mut self, text: SectionId, name: &str, code: &Code) -> Result<(), object::write::Error> {
        let mut insns = code.insns.clone();
        for reloc in &code.relocs {
            // What goes into the second half when it is loaded stands in the first in a file.
            insns[reloc.at].regs &= 0x0f;
            insns[reloc.at].imm = reloc.value.unwrap_or_default() as i32;
            insns[reloc.at + 1].imm = 0;
        }
        let bytes: Vec<u8> = insns.iter().flat_map(|i| i.word().to_le_bytes()).collect();
        let name = self.name(name);
        let id = self.symbol(&name, SymbolKind::Text);
        let start = self.file.add_symbol_data(id, text, &bytes, 8);
        for reloc in &code.relocs {
            let Some(symbol) = self.maps.get(&reloc.map) else { continue };
            let flags = RelocationFlags::Elf { r_type: R_BPF_64_64 };
            let reloc = Relocation { offset: start + 8 * reloc.at as u64, symbol: *symbol, addend: 0, flags };
            self.file.add_relocation(text, reloc)?;
        }
        Ok(())
    }

    fn symbol(&mut self, name: &str, kind: SymbolKind) -> SymbolId {
        self.file.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: 0,
            size: 0,
            kind,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        })
    }

    /// A name that nothing else has: those of the kernel are cut off, so that two may be alike.
    fn name(&mut self, name: &str) -> String {
        let numbered = (2..).map(|n| format!("{}_{n}", &name[..name.len().min(12)]));
        let name = std::iter::once(name.to_owned()).chain(numbered).find(|name| !self.names.contains(name));
        let name = name.unwrap_or_default();
        self.names.insert(name.clone());
        name
    }
}

/// The section by which loaders know what kind of program it is.
fn section_of(program: &Program) -> String {
    let event = program.site.symbols.first().filter(|_| program.site.kernel).and_then(|s| s.split_once(':'));
    match event {
        None => "uprobe".to_owned(),
        Some(("software" | "clock", _)) => "perf_event".to_owned(),
        Some((RAW_TRACEPOINT, name)) => format!("{RAW_TRACEPOINT}/{name}"),
        Some((category, name)) => format!("tracepoint/{category}/{name}"),
    }
}

/// Whether programs name the address of its value, as they do with a variable.
fn is_data(map: &MapSpec) -> bool {
    matches!(map.id, MapId::Counters | MapId::Fresh | MapId::Front(_))
}

/// Members of the type that describes a map.
fn members(map: &MapSpec) -> u32 {
    if map.kind == MapKind::Ring { 2 } else { 4 }
}
