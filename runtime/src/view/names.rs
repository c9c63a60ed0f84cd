//! One name per key and column, so that no field of an object and no column of a file hides another.

use std::collections::HashSet;

use crate::record::Table;

/// The names of the keys, then of the columns; one that is taken gets `_2`, `_3` … behind it.
pub(super) fn unique(table: &Table, reserved: &[&str]) -> Vec<String> {
    let mut taken: HashSet<String> = reserved.iter().map(|&name| name.to_owned()).collect();
    table
        .keys
        .iter()
        .chain(&table.columns)
        .map(|column| {
            let numbered = (2u32..).map(|n| format!("{}_{n}", column.name));
            let name = std::iter::once(column.name.clone()).chain(numbered).find(|name| !taken.contains(name));
            let name = name.unwrap_or_default();
            taken.insert(name.clone());
            name
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::{column, table};

    #[test]
    fn a_name_that_is_taken_is_numbered() {
        use crate::record::Quantity::Number;
        let keys = vec![column("layer", Number), column("table", Number)];
        let columns = vec![column("layer", Number), column("layer", Number), column("layer_2", Number)];
        let names = unique(&table("t", keys, columns, vec![]), &["table"]);
        assert_eq!(names, ["layer", "table_2", "layer_2", "layer_3", "layer_2_2"]);
    }
}
