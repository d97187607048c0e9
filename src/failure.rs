//! What did not work, as people are told.

use std::error::Error;

/// Something that did not work: what, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub headline: String,
    /// The outermost cause first.
    pub causes: Vec<String>,
}

impl Failure {
    /// A failure whose headline says it all.
    pub fn new(headline: impl Into<String>) -> Self {
        Failure { headline: headline.into(), causes: Vec::new() }
    }

    /// An error with the chain of its causes.
    pub fn of(error: &dyn Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| (*cause).source()).map(ToString::to_string);
        Failure { headline: error.to_string(), causes: causes.collect() }
    }

    /// The same, as the cause of what `headline` says.
    pub fn under(self, headline: impl Into<String>) -> Self {
        Failure { headline: headline.into(), causes: [vec![self.headline], self.causes].concat() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner;

    #[test]
    fn causes_follow_in_their_order() {
        let failure = Failure::of(&Outer(Inner)).under("all of it");
        assert_eq!(failure, Failure { headline: "all of it".into(), causes: vec!["outer".into(), "inner".into()] });
    }
}
