//! Randomness of the operating system; rules take what they need of it as seeds.

/// Fills `bytes` with randomness fit for keys.
pub fn fill(bytes: &mut [u8]) {
    #[expect(
        clippy::expect_used,
        reason = "without randomness no key is safe: there is nothing to go on with"
    )]
    getrandom::fill(bytes).expect("the operating system gives randomness once it has booted");
}

/// `N` random bytes.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// A seed for a key or for a machine that draws its own numbers.
#[must_use]
pub fn seed() -> [u8; 32] {
    bytes()
}
