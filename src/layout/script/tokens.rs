//! Expressions of TorchScript code, out of their text.

use super::syntax::{Expr, MAX_STATEMENT, Parsed};

/// Expressions within expressions, and operators or names in a row.
const MAX_DEPTH: usize = 64;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Number(String),
    Text(String),
    Sign(&'static str),
}

/// Longest first.
const SIGNS: [&str; 24] = [
    "->", "//", "**", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "=", "+", "-", "*", "/",
    "<", ">", "%",
];

pub(super) struct Tokens {
    tokens: Vec<Token>,
    at: usize,
}

impl Tokens {
    pub(super) fn of(text: &str) -> Parsed<Tokens> {
        if text.len() > MAX_STATEMENT {
            return Err(format!("a statement of more than {MAX_STATEMENT} bytes"));
        }
        let mut tokens = Vec::new();
        let mut rest = text.trim();
        while let Some(first) = rest.chars().next() {
            let len = if first.is_ascii_alphabetic() || first == '_' {
                let len = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..len].into()));
                len
            } else if first.is_ascii_digit() {
                let len = number_len(rest);
                tokens.push(Token::Number(rest[..len].into()));
                len
            } else if first == '"' {
                let (text, len) = quoted(rest)?;
                tokens.push(Token::Text(text));
                len
            } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                tokens.push(Token::Sign(sign));
                sign.len()
            } else {
                return Err(format!("the sign {first:?}"));
            };
            rest = rest[len..].trim_start();
        }
        Ok(Tokens { tokens, at: 0 })
    }

    pub(super) fn is_done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(super) fn accept(&mut self, expected: &str) -> bool {
        let found = match self.tokens.get(self.at) {
            Some(Token::Word(word)) => word == expected,
            Some(Token::Sign(sign)) => *sign == expected,
            _ => false,
        };
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, expected: &str) -> Parsed<()> {
        let found = self.accept(expected);
        found.then_some(()).ok_or_else(|| format!("expected {expected:?}, found {:?}", self.tokens.get(self.at)))
    }

    pub(super) fn word(&mut self) -> Parsed<String> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word.clone())
            }
            other => Err(format!("expected a name, found {other:?}")),
        }
    }

    /// One expression, or several with commas between them.
    pub(super) fn tuple(&mut self, depth: usize) -> Parsed<Expr> {
        let first = self.expression(depth)?;
        if !self.accept(",") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while !self.is_done() && self.tokens.get(self.at) != Some(&Token::Sign("=")) {
            parts.push(self.expression(depth)?);
            if !self.accept(",") {
                break;
            }
        }
        Ok(Expr::List(parts))
    }

    /// Operators bind from left to right here, whatever they are: archives put brackets around what they join.
    pub(super) fn expression(&mut self, depth: usize) -> Parsed<Expr> {
        if depth > MAX_DEPTH {
            return Err(format!("expressions within expressions, deeper than {MAX_DEPTH}"));
        }
        let mut left = self.unary(depth)?;
        for _ in 0..MAX_DEPTH {
            let operator = if self.accept("is") {
                if self.accept("not") { "is not" } else { "is" }
            } else {
                const BETWEEN: [&str; 15] =
                    ["+", "-", "*", "//", "/", "%", "==", "!=", "<=", ">=", "<", ">", "and", "or", "if"];
                match BETWEEN.iter().find(|operator| self.accept(operator)) {
                    Some(operator) => operator,
                    None => return Ok(left),
                }
            };
            let right = self.unary(depth + 1)?;
            let mut parts = vec![left, right];
            if operator == "if" {
                self.expect("else")?;
                parts.push(self.expression(depth + 1)?);
            }
            left = Expr::Operator(operator, parts);
        }
        Err(format!("more than {MAX_DEPTH} operators in a row"))
    }

    fn unary(&mut self, depth: usize) -> Parsed<Expr> {
        if depth > MAX_DEPTH {
            return Err(format!("expressions within expressions, deeper than {MAX_DEPTH}"));
        }
        if self.accept("not") {
            return Ok(Expr::Operator("not", vec![self.unary(depth + 1)?]));
        }
        if self.accept("-") {
            return Ok(match self.unary(depth + 1)? {
                Expr::Int(number) => Expr::Int(number.wrapping_neg()),
                Expr::Float(number) => Expr::Float(-number),
                other => Expr::Operator("-", vec![other]),
            });
        }
        let mut value = self.atom(depth)?;
        for _ in 0..MAX_DEPTH {
            if self.accept(".") {
                value = Expr::Attribute(Box::new(value), self.word()?);
            } else if self.accept("[") {
                let index = self.list("]", depth)?;
                let index = index.into_iter().next().ok_or("an index without a number")?;
                value = Expr::Index(Box::new(value), Box::new(index));
            } else if self.accept("(") {
                let mut arguments = Vec::new();
                while !self.accept(")") {
                    let named = match (self.tokens.get(self.at), self.tokens.get(self.at + 1)) {
                        (Some(Token::Word(name)), Some(Token::Sign("="))) => Some(name.clone()),
                        _ => None,
                    };
                    self.at += if named.is_some() { 2 } else { 0 };
                    arguments.push((named, self.expression(depth + 1)?));
                    if !self.accept(",") {
                        self.expect(")")?;
                        break;
                    }
                }
                value = Expr::Call(Box::new(value), arguments);
            } else {
                return Ok(value);
            }
        }
        Err(format!("more than {MAX_DEPTH} names in a row"))
    }

    fn list(&mut self, end: &str, depth: usize) -> Parsed<Vec<Expr>> {
        let mut parts = Vec::new();
        while !self.accept(end) {
            parts.push(self.expression(depth + 1)?);
            if !self.accept(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(parts)
    }

    fn atom(&mut self, depth: usize) -> Parsed<Expr> {
        let token = self.tokens.get(self.at).cloned().ok_or("a statement that ends too early")?;
        self.at += 1;
        Ok(match token {
            Token::Word(word) => match word.as_str() {
                "None" => Expr::None,
                "True" => Expr::Bool(true),
                "False" => Expr::Bool(false),
                "inf" => Expr::Float(f64::INFINITY),
                _ => Expr::Name(word),
            },
            Token::Number(text) => match text.parse::<i64>() {
                Ok(number) => Expr::Int(number),
                Err(_) => Expr::Float(text.parse().map_err(|_| format!("the number {text:.40}"))?),
            },
            Token::Text(text) => Expr::Text(text),
            Token::Sign("[") => Expr::List(self.list("]", depth)?),
            Token::Sign("(") => {
                let before = self.at;
                let mut parts = self.list(")", depth)?;
                let comma =
                    self.tokens.get(before..self.at).is_some_and(|t| t.iter().rev().nth(1) == Some(&Token::Sign(",")));
                match (parts.len(), comma) {
                    (1, false) => parts.remove(0),
                    _ => Expr::List(parts),
                }
            }
            Token::Sign(sign) => return Err(format!("an expression that starts with {sign:?}")),
        })
    }
}

/// Digits, a point, an exponent.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let sign = |at: usize| matches!(bytes.get(at), Some(b'+' | b'-')) && matches!(bytes.get(at - 1), Some(b'e' | b'E'));
    (1..bytes.len())
        .find(|&at| !(bytes[at].is_ascii_digit() || matches!(bytes[at], b'.' | b'e' | b'E') || sign(at)))
        .unwrap_or(bytes.len())
}

/// A text in double quotes, and the bytes that it takes.
fn quoted(text: &str) -> Parsed<(String, usize)> {
    let mut content = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((content, at + 1)),
            '\\' => content.extend(chars.next().map(|(_, c)| if c == 'n' { '\n' } else { c })),
            _ => content.push(c),
        }
    }
    Err("a text without an end".into())
}
