//! Room on the stack for trees as deep as their limits allow, whichever thread compiles.

/// Bytes; the deepest scripts take an eighth of it without optimization. Only what is touched becomes memory.
const ROOM: usize = 32 << 20;

/// Runs `f` with [`ROOM`] bytes of stack.
pub(crate) fn with_room<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    let mut f = Some(f);
    let mut run = || f.take().map(|f| f());
    let done = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(ROOM).spawn_scoped(scope, &mut run).ok()?;
        match thread.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    // Where no thread can be had, what stack there is has to do: `f` was not taken.
    done.or_else(run).unwrap_or_else(|| unreachable!("`f` runs once, here or there"))
}
