//! A terminal small enough to be right by inspection: what the live view's bytes leave on a screen.

use unicode_width::UnicodeWidthChar;

/// A screen of a fixed size with what has scrolled off its top.
pub(super) struct Terminal {
    width: usize,
    scrollback: Vec<String>,
    screen: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Terminal {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, scrollback: Vec::new(), screen: vec![Vec::new(); height], row: 0, column: 0 }
    }

    /// Takes bytes as a terminal does; panics at what it does not know.
    pub(super) fn feed(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\n' => {
                    self.column = 0;
                    self.down();
                }
                '\r' => self.column = 0,
                '\x1b' => self.sequence(&mut chars),
                c => self.print(c),
            }
        }
    }

    /// Everything, from the oldest line to the last that is not empty.
    pub(super) fn all(&self) -> String {
        let screen = self.screen.iter().map(|line| line.iter().filter(|c| **c != '\0').collect::<String>());
        let lines: Vec<String> = self.scrollback.iter().cloned().chain(screen).collect();
        lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    /// Lines that have scrolled off.
    pub(super) fn scrolled(&self) -> usize {
        self.scrollback.len()
    }

    fn sequence(&mut self, chars: &mut std::str::Chars<'_>) {
        assert_eq!(chars.next(), Some('['));
        let mut argument = String::new();
        let command = loop {
            match chars.next().unwrap() {
                c @ ('0'..='9' | ';') => argument.push(c),
                c => break c,
            }
        };
        match (command, argument.as_str()) {
            ('A', n) => {
                // Past the top a terminal stops; a renderer that tries has lost count.
                self.row = self.row.checked_sub(n.parse().unwrap()).expect("the cursor goes above the screen");
            }
            ('K', "2") => self.screen[self.row].clear(),
            ('J', "" | "0") => {
                self.screen[self.row].truncate(self.column);
                self.screen[self.row + 1..].iter_mut().for_each(Vec::clear);
            }
            ('m', _) => {}
            other => panic!("unknown sequence {other:?}"),
        }
    }

    fn print(&mut self, c: char) {
        let wide = c.width().unwrap();
        if wide == 0 {
            // A mark on the character before it; where it goes does not move anything.
            return;
        }
        if self.column + wide > self.width {
            self.column = 0;
            self.down();
        }
        let line = &mut self.screen[self.row];
        line.resize(line.len().max(self.column + wide), ' ');
        line[self.column] = c;
        // The right half of a wide character.
        line[self.column + 1..self.column + wide].fill('\0');
        self.column += wide;
    }

    fn down(&mut self) {
        if self.row + 1 < self.screen.len() {
            self.row += 1;
        } else {
            let top = self.screen.remove(0);
            self.scrollback.push(top.iter().filter(|c| **c != '\0').collect());
            self.screen.push(Vec::new());
        }
    }
}
