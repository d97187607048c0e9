//! The language of TorchScript archives, as far as forward functions of networks need it: names, numbers, calls, conditions.
//!
//! The text is hostile input. It is cut into few kinds of tokens and parsed with bounded depth; nothing here runs.

use super::tokens::Tokens;

/// Bytes of one statement; lists of sizes are short, and weights are never in the text.
pub(super) const MAX_STATEMENT: usize = 64 << 10;
/// Blocks within blocks.
const MAX_BLOCKS: usize = 16;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Name(String),
    Attribute(Box<Expr>, String),
    Index(Box<Expr>, Box<Expr>),
    /// Arguments with the names that some have.
    Call(Box<Expr>, Vec<(Option<String>, Expr)>),
    /// A list or a tuple.
    List(Vec<Expr>),
    /// An operator between or before values: "is", "not", "+".
    Operator(&'static str, Vec<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Statement {
    /// Names on the left; one, or those of a tuple.
    Assign(Vec<String>, Expr),
    Do(Expr),
    Return(Expr),
    If(Expr, Vec<Statement>, Vec<Statement>),
    /// `for name in range(count)`, as frozen code has it.
    Repeat(String, Expr, Vec<Statement>),
    /// A statement that forward functions of generators do not have, by its first word.
    Other(String),
}

/// A function: its name for self, its other parameters and their defaults, and its statements.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Function {
    pub(super) this: String,
    pub(super) parameters: Vec<(String, Option<Expr>)>,
    pub(super) body: Vec<Statement>,
}

pub(super) type Parsed<T> = Result<T, String>;

/// The line `{indent}class name(` or `{indent}def name(` and what is indented below it.
fn block<'a>(text: &'a str, head: &str, indent: usize) -> Option<&'a str> {
    let head = format!("{}{head}(", " ".repeat(indent));
    let start = if text.starts_with(&head) { 0 } else { text.find(&format!("\n{head}"))? + 1 };
    let rest = text.get(start..)?;
    let mut end = 0;
    for (at, line) in rest.split_inclusive('\n').enumerate() {
        let inner = line.len() - line.trim_start_matches(' ').len() > indent || line.trim().is_empty();
        if at > 0 && !inner {
            break;
        }
        end += line.len();
    }
    rest.get(..end)
}

/// The text of a class in a file of code.
pub(super) fn class<'a>(file: &'a str, name: &str) -> Option<&'a str> {
    block(file, &format!("class {name}"), 0)
}

/// A function of a class's text, or (without indent) of a file.
pub(super) fn function(text: &str, name: &str, indent: usize) -> Option<Parsed<Function>> {
    let text = block(text, &format!("def {name}"), indent)?;
    Some(parse_function(text, indent))
}

/// `name : Final[type] = value` lines of a class's text.
pub(super) fn finals(class: &str) -> impl Iterator<Item = (&str, Expr)> {
    class.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(" : Final[")?;
        let (_, value) = rest.split_once("] = ")?;
        Some((name, parse_expression(value).ok()?))
    })
}

fn parse_function(text: &str, indent: usize) -> Parsed<Function> {
    let mut lines = Lines { lines: text.lines().collect(), at: 0 };
    let (_, head) = lines.next()?.ok_or("a function without a head")?;
    let mut tokens = Tokens::of(&head)?;
    let mut parameters = Vec::new();
    tokens.expect("def")?;
    tokens.word()?;
    tokens.expect("(")?;
    while !tokens.accept(")") {
        let name = tokens.word()?;
        let mut default = None;
        if tokens.accept(":") {
            tokens.expression(0)?;
        }
        if tokens.accept("=") {
            default = Some(tokens.expression(0)?);
        }
        parameters.push((name, default));
        tokens.accept(",");
    }
    let body = lines.block(indent, 0)?;
    if parameters.is_empty() {
        return Err("a function without parameters".into());
    }
    let (this, _) = parameters.remove(0);
    Ok(Function { this, parameters, body })
}

fn parse_expression(text: &str) -> Parsed<Expr> {
    Tokens::of(text)?.expression(0)
}

/// Statements by line; a line with an open bracket goes on.
struct Lines<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl Lines<'_> {
    /// Indentation and text of the next statement.
    fn next(&mut self) -> Parsed<Option<(usize, String)>> {
        let mut statement = String::new();
        let mut indent = 0;
        while let Some(line) = self.lines.get(self.at) {
            self.at += 1;
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            if statement.is_empty() {
                indent = line.len() - line.trim_start_matches(' ').len();
            }
            statement.push_str(line.trim());
            statement.push(' ');
            if statement.len() > MAX_STATEMENT {
                return Err(format!("a statement of more than {MAX_STATEMENT} bytes"));
            }
            if open_brackets(&statement) <= 0 {
                return Ok(Some((indent, statement)));
            }
        }
        if statement.is_empty() { Ok(None) } else { Err("a statement without an end".into()) }
    }

    fn block(&mut self, outer: usize, depth: usize) -> Parsed<Vec<Statement>> {
        if depth > MAX_BLOCKS {
            return Err(format!("blocks within blocks, deeper than {MAX_BLOCKS}"));
        }
        let mut statements = Vec::new();
        loop {
            let before = self.at;
            match self.next()? {
                Some((indent, text)) if indent > outer => statements.push(self.statement(indent, &text, depth)?),
                _ => {
                    self.at = before;
                    return Ok(statements);
                }
            }
        }
    }

    fn statement(&mut self, indent: usize, text: &str, depth: usize) -> Parsed<Statement> {
        let mut tokens = Tokens::of(text)?;
        if tokens.accept("pass") {
            return Ok(Statement::Do(Expr::None));
        }
        if tokens.accept("return") {
            return Ok(Statement::Return(if tokens.is_done() { Expr::None } else { tokens.tuple(0)? }));
        }
        if tokens.accept("if") {
            let condition = tokens.expression(0)?;
            let yes = self.block(indent, depth + 1)?;
            let before = self.at;
            let no = match self.next()? {
                Some((at, text)) if at == indent && text.starts_with("else") => self.block(indent, depth + 1)?,
                _ => {
                    self.at = before;
                    Vec::new()
                }
            };
            return Ok(Statement::If(condition, yes, no));
        }
        if tokens.accept("for") {
            let name = tokens.word()?;
            tokens.expect("in")?;
            tokens.expect("range")?;
            tokens.expect("(")?;
            let count = tokens.expression(0)?;
            return Ok(Statement::Repeat(name, count, self.block(indent, depth + 1)?));
        }
        for word in ["while", "def", "with", "assert"] {
            if tokens.accept(word) {
                self.block(indent, depth + 1)?;
                return Ok(Statement::Other(word.into()));
            }
        }
        let value = tokens.tuple(0)?;
        // A type may stand between the name and the value.
        if tokens.accept(":") {
            tokens.expression(0)?;
        }
        if !tokens.accept("=") {
            return Ok(Statement::Do(value));
        }
        let names = match value {
            Expr::Name(name) => vec![name],
            Expr::List(parts) => parts
                .into_iter()
                .map(|part| match part {
                    Expr::Name(name) => Ok(name),
                    _ => Err("an assignment to something else than a name".to_string()),
                })
                .collect::<Parsed<_>>()?,
            // Counters of batches and the like are of no use here.
            _ => return Ok(Statement::Do(Expr::None)),
        };
        Ok(Statement::Assign(names, tokens.tuple(0)?))
    }
}

/// Open brackets less closed ones, outside texts.
fn open_brackets(text: &str) -> i64 {
    let (mut open, mut quoted, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'(' | b'[' if !quoted => open += 1,
            b')' | b']' if !quoted => open -= 1,
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_read() {
        let file = "class A(Module):\n  stride : Final[Tuple[int, int]] = (2, -1)\n  eps : Final[float] = 1.0e-05\n  def \
                    forward(self: __torch__.A,\n    x: Tensor,\n    y: Optional[Tensor]=None) -> Tensor:\n    _0 = \
                    (self.m).forward(x, None, )\n    if torch.ne(torch.dim(_0), 4):\n      pass\n    else:\n      z = [1, \
                    (2,), \"a\\\"b\"]\n    a, b, = _0\n    return torch.tanh(_0)\n  def other(self: A) -> int:\n    return 1\nclass B(Module):\n  pass\n";
        let class = class(file, "A").unwrap();
        assert!(!class.contains("class B") && super::class(file, "C").is_none());
        let finals: Vec<_> = finals(class).collect();
        assert_eq!(finals[0], ("stride", Expr::List(vec![Expr::Int(2), Expr::Int(-1)])));
        assert_eq!(finals[1], ("eps", Expr::Float(1e-5)));
        let forward = function(class, "forward", 2).unwrap().unwrap();
        assert_eq!(forward.parameters, [("x".into(), None), ("y".into(), Some(Expr::None))]);
        assert_eq!(forward.body.len(), 4, "{:?}", forward.body);
        let Statement::If(_, _, no) = &forward.body[1] else { panic!("{:?}", forward.body) };
        let tuple = Expr::List(vec![Expr::Int(2)]);
        assert_eq!(
            no[0],
            Statement::Assign(vec!["z".into()], Expr::List(vec![Expr::Int(1), tuple, Expr::Text("a\"b".into())]))
        );
        assert_eq!(forward.body[2], Statement::Assign(vec!["a".into(), "b".into()], Expr::Name("_0".into())));
    }

    #[test]
    fn hostile_texts_are_errors() {
        for text in [
            "((((".repeat(5000),
            format!("a{}", ".b".repeat(9000)),
            format!("a{}", "+b".repeat(9000)),
            "-".repeat(5000),
            "not ".repeat(5000),
            "a(".into(),
            "\"a".into(),
            "1e".into(),
            "f(x=".into(),
        ] {
            assert!(parse_expression(&text).is_err(), "{text:.20}");
        }
        let nested: String = (0..40).map(|depth| format!("{}if a:\n", " ".repeat(depth + 4))).collect();
        assert!(function(&format!("  def f(self) -> int:\n{nested}"), "f", 2).unwrap().is_err());
    }
}
