//! One ELF file that a process runs code from: its names, its functions, their code.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use memmap2::Mmap;
use object::LittleEndian as LE;
use object::elf::{
    self, EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, GNU_PROPERTY_X86_FEATURE_1_AND,
    GNU_PROPERTY_X86_FEATURE_1_IBT, NT_GNU_BUILD_ID, PF_X, PT_INTERP, PT_LOAD, SHN_ABS, SHT_DYNSYM, SHT_SYMTAB,
    STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_FUNC, STT_GNU_IFUNC, STT_OBJECT, STT_TLS, Sym64,
};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};

use super::callers::Callers;
use super::eh_frame::EhFrame;
use super::maps::{FileIdentity, Mapping};
use super::site::{self, Site, SiteError};
use super::symbols::{HashTable, NameIndex, Table};
use super::{Process, TargetError};

/// `STB_GNU_UNIQUE`, which `object` does not name.
const STB_GNU_UNIQUE: u8 = 10;

/// Bytes that the kernel maps around one that is read, if it has them at hand (`fault_around_bytes`); a multiple of all sizes
/// of a page.
const AROUND: usize = 64 << 10;

/// What kind of processor a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Arch {
    /// That of this machine, if it is one of them.
    #[must_use]
    pub fn of_this_machine() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// As the system calls it: `x86_64`, `aarch64`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// A function of a module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Function {
    /// Its name as in the symbol table (mangled).
    pub name: String,
    /// Address of its entry as in the file, before relocation.
    pub vaddr: u64,
    /// Its length in bytes. Taken from what follows where the symbol tells none; then padding may be included.
    pub size: u64,
    /// Bytes into the file at which its code starts; what a uprobe wants.
    pub file_offset: u64,
}

/// An ELF file, opened and mapped once; no name and no code is copied.
///
/// The file is read as it is on disk. If someone shortens it in place while it is mapped here (installers do not, they
/// rename), reading faults, as it does for the process that runs it.
#[derive(Debug)]
pub struct Module {
    path: PathBuf,
    identity: FileIdentity,
    file: File,
    data: Mmap,
    arch: Arch,
    build_id: Option<String>,
    cet: bool,
    dynamic_names: OnceLock<NameIndex>,
    full_names: OnceLock<NameIndex>,
    callers: Mutex<Callers>,
}

impl Module {
    /// Opens the very file that the mapping shows: by its name below the root of the process if that still is this
    /// file, else through `/proc/PID/map_files`, which also reaches deleted and replaced files.
    ///
    /// # Errors
    /// The file cannot be opened, or is not a 64-bit little-endian ELF file for a supported processor.
    pub fn open(process: &Process, mapping: &Mapping) -> Result<Self, TargetError> {
        let (identity, file) = open_with_identity(process, mapping)?;
        Self::new(mapping.path.clone(), identity, file)
    }

    /// Opens a file by its name here, mapped or not.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_file(path: &Path) -> Result<Self, TargetError> {
        let open_error = |source| TargetError::OpenFile { path: path.to_owned(), source };
        let file = open(path).map_err(open_error)?;
        let identity = identity_of(&file).map_err(open_error)?;
        Self::new(path.to_owned(), identity, file)
    }

    /// Every module of the process, the one with the lowest address first. A `memfd` that holds no program (what a
    /// just-in-time compiler makes) is left out.
    ///
    /// # Errors
    /// The mappings cannot be read, or one of the files cannot be opened or understood.
    pub fn all(process: &Process) -> Result<Vec<Self>, TargetError> {
        let mappings = process.mappings()?;
        let mut modules = Vec::new();
        for mapping in super::executable_files(&mappings) {
            match Self::open(process, mapping) {
                Ok(module) => modules.push(module),
                Err(TargetError::NotElf { .. })
                    if mapping.path.as_os_str().as_encoded_bytes().starts_with(b"/memfd:") => {}
                Err(error) => return Err(error),
            }
        }
        Ok(modules)
    }

    fn new(path: PathBuf, identity: FileIdentity, file: File) -> Result<Self, TargetError> {
        // SAFETY: mapped read-only and private, and never handed out mutably. Nothing protects against the file being
        // shortened meanwhile; see the type's documentation.
        let data =
            unsafe { Mmap::map(&file) }.map_err(|source| TargetError::OpenFile { path: path.clone(), source })?;
        let malformed = |source| TargetError::Malformed { path: path.clone(), source };
        let unsupported = |found: String| TargetError::Unsupported { path: path.clone(), found };
        match data.get(..6) {
            Some([0x7f, b'E', b'L', b'F', elf::ELFCLASS64, elf::ELFDATA2LSB]) => {}
            Some([0x7f, b'E', b'L', b'F', elf::ELFCLASS32, _]) => return Err(unsupported("32 bits".into())),
            Some([0x7f, b'E', b'L', b'F', ..]) => return Err(unsupported("big-endian machines".into())),
            _ => return Err(TargetError::NotElf { path }),
        }
        let header = FileHeader64::<LE>::parse(&*data).map_err(malformed)?;
        if !matches!(header.e_type(LE), ET_EXEC | ET_DYN) {
            return Err(unsupported("linking (an object file or core dump)".into()));
        }
        let arch = match header.e_machine(LE) {
            EM_X86_64 => Arch::X86_64,
            EM_AARCH64 => Arch::Aarch64,
            other => return Err(unsupported(format!("machine number {other}"))),
        };
        header.sections(LE, &*data).map_err(malformed)?;
        // A note that is damaged is as good as none.
        let notes = Notes::read(header, &data).unwrap_or_default();
        Ok(Self {
            path,
            identity,
            file,
            arch,
            build_id: notes.build_id,
            cet: notes.cet,
            data,
            dynamic_names: OnceLock::new(),
            full_names: OnceLock::new(),
            callers: Mutex::default(),
        })
    }

    /// The file as the process sees it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last part of that path.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// A path under which the kernel finds this very file for this process (not for others): it names the descriptor
    /// that the module keeps, so it stays right when the file is replaced, deleted, or in another mount namespace, and
    /// it is good for as long as the module lives.
    #[must_use]
    pub fn attach_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// Which file it is, as in the mapping it was opened from.
    #[must_use]
    pub fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// The build id in hexadecimal digits, if the linker wrote one.
    #[must_use]
    pub fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// What it is for.
    #[must_use]
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The file is marked as built throughout for indirect-branch tracking, so its functions start with `endbr64`.
    /// Functions may do so without the mark: one object without it takes it from the whole file.
    #[must_use]
    pub fn is_cet(&self) -> bool {
        self.cet
    }

    /// It has no full symbol table: only exported functions have names.
    #[must_use]
    pub fn is_stripped(&self) -> bool {
        self.table(SHT_SYMTAB).is_none()
    }

    /// It defines this name for others in its dynamic symbol table. This touches a few pages of the file at most.
    #[must_use]
    pub fn exports(&self, name: &str) -> bool {
        self.dynamic(name).is_some_and(|symbol| symbol.st_bind() != STB_LOCAL)
    }

    /// It [`exports`](Self::exports) this name, or is a program that has it as a global name in its full symbol table,
    /// since a program that is linked statically exports nothing.
    #[must_use]
    pub fn defines(&self, name: &str) -> bool {
        self.exports(name)
            || self.is_program()
                && self.full(name).iter().any(|symbol| symbol.st_bind() != STB_LOCAL && is_code_or_data(symbol))
    }

    /// The file names of the libraries that it says it needs.
    #[must_use]
    pub fn needed(&self) -> Vec<&str> {
        let sections = self.sections();
        let Ok(Some((entries, strings))) = sections.dynamic(LE, &*self.data) else { return Vec::new() };
        let Ok(strings) = sections.strings(LE, &*self.data, strings) else { return Vec::new() };
        let needed = entries.iter().filter(|entry| entry.tag32(LE) == Some(elf::DT_NEEDED));
        needed.filter_map(|entry| str::from_utf8(strings.get(entry.val32(LE)?).ok()?).ok()).collect()
    }

    /// The function with this name: exported, else from the full symbol table, a global one before a local one. Names
    /// that are resolved by a function at load time (`IFUNC`) are not functions themselves and are left out.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<Function> {
        self.exported_function(name).or_else(|| {
            let mut found = self.full(name);
            found.retain(|symbol| self.is_code(symbol));
            found.sort_by_key(|symbol| !matches!(symbol.st_bind(), STB_GLOBAL | STB_WEAK | STB_GNU_UNIQUE));
            self.describe(name, found.first()?)
        })
    }

    /// The function that is exported by this name.
    #[must_use]
    pub fn exported_function(&self, name: &str) -> Option<Function> {
        self.dynamic(name).filter(|symbol| self.is_code(symbol)).and_then(|symbol| self.describe(name, symbol))
    }

    /// Every function whose symbol, in either table, is one that is `wanted`, each address once, in the order of addresses.
    /// Parts that the compiler moved away (`.cold`) are no functions of their own.
    #[must_use]
    pub fn functions_where(&self, wanted: impl Fn(&str) -> bool) -> Vec<Function> {
        let mut found: BTreeMap<u64, (u8, &str, &Sym64<LE>)> = BTreeMap::new();
        self.each_code(|name, symbol| {
            if !wanted(name) {
                return;
            }
            // Of several names of one place that which others are meant to use, and then the shortest.
            let rank = u8::from(symbol.st_bind() == STB_LOCAL);
            let better = |(r, n, _): &(u8, &str, &Sym64<LE>)| (rank, name.len(), name) < (*r, n.len(), *n);
            let at = symbol.st_value(LE);
            if found.get(&at).is_none_or(better) {
                found.insert(at, (rank, name, symbol));
            }
        });
        found.values().filter_map(|(_, name, symbol)| self.describe(name, symbol)).collect()
    }

    /// The function that begins at this address as its symbols or its unwind tables tell; nothing else is known to be the
    /// beginning of an instruction.
    #[must_use]
    pub fn function_at(&self, vaddr: u64) -> Option<Function> {
        let mut found: Option<&Sym64<LE>> = None;
        let mut name = format!("+{vaddr:#x}");
        self.each_code(|n, symbol| {
            if symbol.st_value(LE) == vaddr && found.is_none() {
                found = Some(symbol);
                n.clone_into(&mut name);
            }
        });
        if let Some(symbol) = found {
            return self.describe(&name, symbol);
        }
        let entry = self.eh_frame()?.at_or_before(vaddr).filter(|entry| entry.start == vaddr)?;
        Some(Function { name, vaddr, size: entry.size?, file_offset: self.file_offset(vaddr)? })
    }

    /// Names of functions of this file that are not functions before the program starts: which one is meant is decided then.
    #[must_use]
    pub fn is_chosen_at_start(&self, name: &str) -> bool {
        let Some(table) = self.table(SHT_DYNSYM) else { return false };
        let is_choice = |symbol: &Sym64<LE>| symbol.st_type() == STT_GNU_IFUNC && !symbol.is_undefined(LE);
        table.iter().any(|s| is_choice(s) && super::symbols::name(&table, s) == Some(name.as_bytes()))
    }

    fn each_code<'m>(&'m self, mut f: impl FnMut(&'m str, &'m Sym64<LE>)) {
        for kind in [SHT_DYNSYM, SHT_SYMTAB] {
            let Some(table) = self.table(kind) else { continue };
            // What the file takes from another one is listed there, too.
            let defined = table.symbols().iter().filter(|symbol| !symbol.is_undefined(LE));
            for symbol in defined.filter(|symbol| self.is_code(symbol)) {
                let name = super::symbols::name(&table, symbol).and_then(|name| str::from_utf8(name).ok());
                if let Some(name) = name.filter(|name| !name.ends_with(".cold") && !name.contains(".cold.")) {
                    f(name, symbol);
                }
            }
        }
    }

    /// The part that the compiler moved away as unlikely: `NAME.cold` in the full symbol table, else what the function
    /// jumps to that begins, by the unwind tables, with a frame already there. A cold part of a function that has no
    /// frame cannot be told from another function without its name.
    #[must_use]
    pub fn cold_part(&self, function: &Function) -> Option<Function> {
        let name = format!("{}.cold", function.name);
        match self.full(&name).iter().find(|symbol| symbol.st_type() == STT_FUNC) {
            Some(symbol) => self.describe(&name, symbol),
            None => self.cold_part_by_frames(function, name),
        }
    }

    /// The bytes of the function; empty if they are not in the file.
    #[must_use]
    pub fn code(&self, function: &Function) -> &[u8] {
        self.read(function.vaddr, function.size).unwrap_or_default()
    }

    /// The cheapest instruction to probe at the start of the function; see [`site::entry_site`].
    ///
    /// # Errors
    /// As [`site::entry_site`].
    pub fn entry_site(&self, function: &Function, args_used: u8) -> Result<Site, SiteError> {
        let site = site::entry_site(self.arch, self.code(function), function.vaddr, args_used)?;
        Ok(self.in_file(function, site))
    }

    /// The first instruction of the function; see [`site::first_site`].
    ///
    /// # Errors
    /// As [`site::first_site`].
    pub fn first_site(&self, function: &Function) -> Result<Site, SiteError> {
        let site = site::first_site(self.arch, self.code(function), function.vaddr)?;
        Ok(self.in_file(function, site))
    }

    /// Every instruction by which the function is left, also in its cold part; see [`site::return_sites`].
    ///
    /// # Errors
    /// As [`site::return_sites`].
    pub fn return_sites(&self, function: &Function) -> Result<Vec<Site>, SiteError> {
        let cold = self.cold_part(function);
        let cold_code = cold.as_ref().map(|cold| (self.code(cold), cold.vaddr));
        let sites = site::return_sites(self.arch, self.code(function), function.vaddr, cold_code)?;
        Ok(sites.into_iter().map(|site| self.in_file(function, site)).collect())
    }

    fn in_file(&self, function: &Function, site: Site) -> Site {
        let by_distance = function.file_offset.wrapping_add(site.at);
        Site { file_offset: self.file_offset(site.vaddr).unwrap_or(by_distance), ..site }
    }

    /// What has to be added to an address in the file to have it in the process, given any mapping of this file there.
    #[must_use]
    pub fn bias(&self, mapping: &Mapping) -> Option<u64> {
        let page = |offset: u64| offset & !0xfff;
        let holds = |load: &&elf::ProgramHeader64<LE>| {
            let (start, size) = (load.p_offset(LE), load.p_filesz(LE));
            page(start) <= mapping.offset && mapping.offset < start + size
        };
        // Where one part ends and the next begins within a page, that page is mapped twice.
        let likeness = |load: &&elf::ProgramHeader64<LE>| {
            let same_use = (load.p_flags(LE) & PF_X != 0) == mapping.perms.execute;
            (same_use, page(load.p_offset(LE)) == mapping.offset)
        };
        let load = self.loads().filter(holds).max_by_key(likeness)?;
        let vaddr = load.p_vaddr(LE).wrapping_sub(load.p_offset(LE)).wrapping_add(mapping.offset);
        Some(mapping.start.wrapping_sub(vaddr))
    }

    /// Bytes into the file for an address in it; `None` if no part of the file is loaded there.
    #[must_use]
    pub fn file_offset(&self, vaddr: u64) -> Option<u64> {
        self.loads().find_map(|load| {
            let into = vaddr.checked_sub(load.p_vaddr(LE))?;
            (into < load.p_filesz(LE)).then(|| load.p_offset(LE) + into)
        })
    }

    /// The bytes of the file that are loaded at this address, before relocation; `None` if not all of them are.
    #[must_use]
    pub fn read(&self, vaddr: u64, size: u64) -> Option<&[u8]> {
        let start = usize::try_from(self.file_offset(vaddr)?).ok()?;
        let last = vaddr.checked_add(size.checked_sub(1)?)?;
        let end = usize::try_from(self.file_offset(last)?).ok()?.checked_add(1)?;
        self.data.get(start..end)
    }

    /// Address and size in bytes of a variable, from either symbol table.
    pub(super) fn variable(&self, name: &str) -> Option<(u64, u64)> {
        let is_data = |symbol: &&Sym64<LE>| symbol.st_type() == STT_OBJECT;
        let symbol = self.dynamic(name).filter(is_data).or_else(|| self.full(name).into_iter().find(is_data))?;
        Some((symbol.st_value(LE), symbol.st_size(LE)))
    }

    /// The whole file.
    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    /// What was found of the callers of functions.
    pub(super) fn callers(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the pages of these bytes of the file back, and what the kernel has mapped around them; they come again when they
    /// are read. So going over much of a large file does not keep all of it in our memory.
    pub(super) fn give_back(&self, bytes: &[u8]) {
        let of = bytes.as_ptr().addr().wrapping_sub(self.data.as_ptr().addr());
        let end = (of + bytes.len()).next_multiple_of(AROUND).min(self.data.len());
        let start = of / AROUND * AROUND;
        if start >= end {
            return;
        }
        // SAFETY: the range lies within our own private, read-only mapping of the file. Its pages were never written to, so
        // what is read there next comes from the file as before.
        let _advice =
            unsafe { self.data.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start) };
    }

    /// [`give_back`](Self::give_back) for a symbol table and its names.
    fn give_back_table(&self, kind: u32) {
        let sections = self.sections();
        for section in sections.iter().filter(|section| section.sh_type(LE) == kind) {
            let names = sections.section(section.link(LE)).into_iter();
            for section in names.chain([section]) {
                self.give_back(section.data(LE, &*self.data).unwrap_or_default());
            }
        }
    }

    /// The file's header; it was parsed before, so this does not fail.
    pub(super) fn header(&self) -> Option<&FileHeader64<LE>> {
        FileHeader64::<LE>::parse(&*self.data).ok()
    }

    /// The file's sections.
    pub(super) fn sections(&self) -> SectionTable<'_, FileHeader64<LE>> {
        self.header().and_then(|header| header.sections(LE, &*self.data).ok()).unwrap_or_default()
    }

    /// The parts of the file that are loaded.
    pub(super) fn loads(&self) -> impl Iterator<Item = &elf::ProgramHeader64<LE>> {
        let headers = self.header().and_then(|header| header.program_headers(LE, &*self.data).ok());
        headers.unwrap_or_default().iter().filter(|header| header.p_type(LE) == PT_LOAD)
    }

    /// A symbol table of the file by its section type.
    pub(super) fn table(&self, kind: u32) -> Option<Table<'_>> {
        let table = self.sections().symbols(LE, &*self.data, kind).ok()?;
        (!table.is_empty()).then_some(table)
    }

    fn dynamic(&self, name: &str) -> Option<&Sym64<LE>> {
        let table = self.table(SHT_DYNSYM)?;
        match HashTable::of(&self.sections(), &self.data) {
            Some(hash) => hash.find(&table, name),
            None => self.dynamic_names.get_or_init(|| NameIndex::new(&table)).find(&table, name).next(),
        }
    }

    fn full(&self, name: &str) -> Vec<&Sym64<LE>> {
        let Some(table) = self.table(SHT_SYMTAB) else { return Vec::new() };
        let index = self.full_names.get_or_init(|| {
            let index = NameIndex::new(&table);
            self.give_back_table(SHT_SYMTAB);
            index
        });
        index.find(&table, name).collect()
    }

    fn is_code(&self, symbol: &Sym64<LE>) -> bool {
        symbol.st_type() == STT_FUNC && self.file_offset(symbol.st_value(LE)).is_some()
    }

    fn is_program(&self) -> bool {
        let Some(header) = self.header() else { return false };
        let segments = header.program_headers(LE, &*self.data).unwrap_or_default();
        let position_independent = || {
            let dynamic = self.sections().dynamic(LE, &*self.data).ok().flatten().map(|(entries, _)| entries);
            dynamic.unwrap_or_default().iter().any(|entry| {
                entry.tag32(LE) == Some(elf::DT_FLAGS_1)
                    && entry.val32(LE).is_some_and(|flags| flags & elf::DF_1_PIE != 0)
            })
        };
        header.e_type(LE) == ET_EXEC
            || segments.iter().any(|segment| segment.p_type(LE) == PT_INTERP)
            || position_independent()
    }

    fn describe(&self, name: &str, symbol: &Sym64<LE>) -> Option<Function> {
        let vaddr = symbol.st_value(LE);
        let size = match symbol.st_size(LE) {
            0 => self.size_from_surroundings(vaddr, symbol.st_shndx(LE))?,
            size => size,
        };
        Some(Function { name: name.to_owned(), vaddr, size, file_offset: self.file_offset(vaddr)? })
    }

    fn cold_part_by_frames(&self, function: &Function, name: String) -> Option<Function> {
        let frames = self.eh_frame()?;
        // Jumps to the stubs of imported functions lead to another section.
        let section = self.section_range(function.vaddr)?;
        let targets = site::outward_jumps(self.arch, self.code(function), function.vaddr);
        let part = targets.into_iter().filter(|target| section.contains(target)).find_map(|target| {
            let part = frames.at_or_before(target)?;
            let holds = part.size.is_some_and(|size| target - part.start < size);
            (holds && (target != part.start || frames.begins_within_frame(part.start))).then_some(part)
        })?;
        Some(Function { name, vaddr: part.start, size: part.size?, file_offset: self.file_offset(part.start)? })
    }

    /// The addresses of the section that holds this one.
    fn section_range(&self, vaddr: u64) -> Option<Range<u64>> {
        let ranges = self.sections().iter().map(|section| {
            let start = section.sh_addr(LE);
            start..start.saturating_add(section.sh_size(LE))
        });
        ranges.into_iter().find(|range| range.contains(&vaddr))
    }

    /// How long a function can be at most: to the end of its unwind entry, else to whatever begins or ends next.
    fn size_from_surroundings(&self, vaddr: u64, section: u16) -> Option<u64> {
        let frames = self.eh_frame();
        let entry = frames.and_then(|frames| frames.at_or_before(vaddr)).filter(|entry| entry.start == vaddr);
        if let Some(size) = entry.and_then(|entry| entry.size) {
            return Some(size);
        }
        let next_symbol = [SHT_DYNSYM, SHT_SYMTAB]
            .into_iter()
            .filter_map(|kind| self.table(kind))
            .flat_map(|table| table.symbols())
            .filter(|symbol| symbol.st_shndx(LE) == section && symbol.st_value(LE) > vaddr)
            .map(|symbol| symbol.st_value(LE))
            .min();
        let next_frame = frames.and_then(|frames| frames.next_start(vaddr));
        let section_end = self.section_range(vaddr).map(|range| range.end);
        let segment_end = self
            .loads()
            .find(|load| load.p_flags(LE) & PF_X != 0 && vaddr.wrapping_sub(load.p_vaddr(LE)) < load.p_filesz(LE))
            .map(|load| load.p_vaddr(LE) + load.p_filesz(LE));
        let end = [next_symbol, next_frame, section_end, segment_end].into_iter().flatten().min()?;
        Some(end - vaddr)
    }

    pub(super) fn eh_frame(&self) -> Option<EhFrame<'_>> {
        let sections = self.sections();
        let section = |name: &str| {
            let (_, section) = sections.section_by_name(LE, name.as_bytes())?;
            Some((section.data(LE, &*self.data).ok()?, section.sh_addr(LE)))
        };
        Some(EhFrame { header: section(".eh_frame_hdr")?, frames: section(".eh_frame")? })
    }
}

/// What the file's notes tell.
#[derive(Debug, Default)]
struct Notes {
    build_id: Option<String>,
    cet: bool,
}

impl Notes {
    fn read(header: &FileHeader64<LE>, data: &[u8]) -> object::read::Result<Self> {
        let mut found = Self::default();
        for segment in header.program_headers(LE, data)? {
            let Some(mut notes) = segment.notes(LE, data)? else { continue };
            while let Some(note) = notes.next()? {
                if note.name() == elf::ELF_NOTE_GNU && note.n_type(LE) == NT_GNU_BUILD_ID {
                    found.build_id = Some(note.desc().iter().map(|byte| format!("{byte:02x}")).collect());
                }
                let Some(mut properties) = note.gnu_properties(LE) else { continue };
                while let Some(property) = properties.next()? {
                    found.cet |= property.pr_type() == GNU_PROPERTY_X86_FEATURE_1_AND
                        && property.data_u32(LE)? & GNU_PROPERTY_X86_FEATURE_1_IBT != 0;
                }
            }
        }
        Ok(found)
    }
}

/// Opens the file that is mapped there, whatever it is.
pub(crate) fn open_mapped(process: &Process, mapping: &Mapping) -> Result<File, TargetError> {
    Ok(open_with_identity(process, mapping)?.1)
}

fn open_with_identity(process: &Process, mapping: &Mapping) -> Result<(FileIdentity, File), TargetError> {
    let open_error = |source| TargetError::OpenMapped { pid: process.pid(), path: mapping.path.clone(), source };
    let identity = mapping
        .identity()
        .ok_or_else(|| open_error(io::Error::new(ErrorKind::InvalidInput, "no file is mapped there")))?;
    let by_name = process.root().join(mapping.path.strip_prefix("/").unwrap_or(&mapping.path));
    let file = match open(&by_name) {
        Ok(file) if identity_of(&file).is_ok_and(|found| found == identity) => file,
        // Also where the two numbers differ by the nature of the file system (btrfs).
        _ => open(Path::new(&format!("/proc/{}/map_files/{:x}-{:x}", process.pid(), mapping.start, mapping.end)))
            .map_err(open_error)?,
    };
    Ok((identity, file))
}

/// Opens for reading without ever waiting, should the name be that of a pipe by now.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

fn identity_of(file: &File) -> io::Result<FileIdentity> {
    let metadata = file.metadata()?;
    let dev = metadata.dev();
    Ok(FileIdentity { dev: (libc::major(dev), libc::minor(dev)), inode: metadata.ino() })
}

fn is_code_or_data(symbol: &Sym64<LE>) -> bool {
    matches!(symbol.st_type(), STT_FUNC | STT_OBJECT | STT_TLS) && symbol.st_shndx(LE) != SHN_ABS
}

#[cfg(test)]
mod tests;
