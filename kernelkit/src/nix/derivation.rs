//! Derivations: the `.drv` files that say how an output is built, and whose bytes name it
//! (Nix manual, "Derivations" and "Store path specification").
//!
//! A [`Recipe`] is what an expression gives to `builtins.derivation`; [`Recipe::derive`]
//! computes what the evaluator would have written to the store.

use std::collections::{BTreeMap, BTreeSet};

use nix_derivation as nix;

use super::store_path::{self, ContentAddress, StoreDir, StorePath};

/// Why a derivation cannot be read or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no derivation.
    #[error("`{name}.drv` is not a derivation: {reason}")]
    Parse {
        /// The name, without `.drv`.
        name: String,
        /// What is wrong, with the place.
        reason: String,
    },
    /// It contradicts itself.
    #[error("the derivation `{name}` is not valid: {reason}")]
    Invalid {
        /// The name, without `.drv`.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Its outputs' paths depend on an input derivation that is not at hand.
    #[error("the derivation `{name}` needs `{input}`, which is not at hand")]
    MissingInput {
        /// The name, without `.drv`.
        name: String,
        /// The input.
        input: StorePath,
    },
    /// Its outputs' paths are known only after something has been built.
    #[error("the outputs of the derivation `{name}` have no path before something is built")]
    Deferred {
        /// The name, without `.drv`.
        name: String,
    },
    /// A name or content makes no store path.
    #[error(transparent)]
    StorePath(#[from] store_path::Error),
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Parse { name, .. } => Some(format!(
                "`nix-store --verify --check-contents` finds damaged store files; {name}.drv may be from a newer Nix"
            )),
            Error::MissingInput { input, .. } => Some(format!(
                "evaluate what makes it (`nix-instantiate`, `nix eval`), so that {input} is in the store"
            )),
            Error::Deferred { .. } => Some(
                "content-addressed and dynamic derivations cannot be inputs here; use the input-addressed toolchain"
                    .to_owned(),
            ),
            Error::StorePath(error) => error.hint(),
            Error::Invalid { .. } => None,
        }
    }
}

/// What a string or a derivation depends on: what Nix calls its context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Derivations, with the outputs that are used.
    pub derivations: BTreeMap<StorePath, BTreeSet<String>>,
    /// Store objects that are there as they are.
    pub sources: BTreeSet<StorePath>,
}

impl Inputs {
    /// Adds what `other` depends on.
    pub fn extend(&mut self, other: Inputs) {
        for (path, outputs) in other.derivations {
            self.derivations.entry(path).or_default().extend(outputs);
        }
        self.sources.extend(other.sources);
    }

    /// Adds one output of a derivation.
    pub fn output(&mut self, derivation: StorePath, output: impl Into<String>) {
        self.derivations
            .entry(derivation)
            .or_default()
            .insert(output.into());
    }
}

/// What stands for a derivation where its users' outputs are named: the hash "modulo"
/// fixed-output derivations, so that a new mirror in a URL changes no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modulo(nix::InputDerivationHash);

/// The arguments of `builtins.derivation`.
///
/// ```
/// use kernelkit::nix::derivation::Recipe;
/// use kernelkit::nix::store_path::{ContentAddress, StoreDir};
/// use kernelkit::source::Sha256;
///
/// let store = StoreDir::default();
/// let mut tarball = Recipe::new("linux-6.12.tar.xz", "builtin", "builtin:fetchurl");
/// tarball.fixed = Some(ContentAddress::flat(Sha256::of(b"not really")));
/// let tarball = tarball.env("url", "https://example.org/linux-6.12.tar.xz");
///
/// let derivation = tarball.derive(&store, |_| None)?;
/// // It follows from name and hash alone:
/// assert_eq!(
///     derivation.output("out"),
///     Some(&store.file_path("linux-6.12.tar.xz", Sha256::of(b"not really"))?),
/// );
/// # Ok::<(), kernelkit::nix::derivation::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Name of the derivation, without `.drv`.
    pub name: String,
    /// Such as `x86_64-linux`, or `builtin`.
    pub system: String,
    /// What is run.
    pub builder: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, but for the variables that `builtins.derivation` sets by itself:
    /// `name`, `system`, `builder`, `outputs` and one for each output.
    pub env: BTreeMap<String, Vec<u8>>,
    /// The attribute `outputs`; where it is absent (empty), the one output is `out`.
    pub outputs: Vec<String>,
    /// What the one output must be, for a fixed-output derivation.
    pub fixed: Option<ContentAddress>,
    /// What the strings above refer to.
    pub inputs: Inputs,
}

impl Recipe {
    /// A derivation without arguments, environment or inputs and with the output `out`.
    pub fn new(
        name: impl Into<String>,
        system: impl Into<String>,
        builder: impl Into<String>,
    ) -> Self {
        Recipe {
            name: name.into(),
            system: system.into(),
            builder: builder.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            outputs: Vec::new(),
            fixed: None,
            inputs: Inputs::default(),
        }
    }

    /// Appends arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The derivation as the evaluator writes it. `modulo` knows the input derivations.
    pub fn derive(
        self,
        store: &StoreDir,
        modulo: impl Fn(&StorePath) -> Option<Modulo>,
    ) -> Result<Derivation, Error> {
        let name = self.name;
        let mut builder = nix::DerivationBuilder::new_in_store(
            store.0.clone(),
            &name,
            &self.system,
            &self.builder,
        );
        *builder.arguments_mut() = self.args;
        *builder.environment_mut() = self.env;
        let env = builder.environment_mut();
        for (variable, value) in [
            ("name", &name),
            ("system", &self.system),
            ("builder", &self.builder),
        ] {
            env.insert(variable.to_owned(), value.clone().into_bytes());
        }
        let mut outputs = self.outputs;
        if outputs.is_empty() {
            outputs.push("out".to_owned());
        } else {
            env.insert("outputs".to_owned(), outputs.join(" ").into_bytes());
        }
        for output in outputs {
            let kind = match &self.fixed {
                Some(address) => nix::Output::Fixed {
                    ca: address.0.clone(),
                },
                None => nix::Output::Deferred,
            };
            builder.outputs_mut().insert(output, kind);
        }
        for (path, outputs) in self.inputs.derivations {
            builder
                .input_derivations_mut()
                .insert(path.0, nix::InputDerivation::new(outputs));
        }
        builder
            .input_sources_mut()
            .extend(self.inputs.sources.into_iter().map(|StorePath(path)| path));
        let built = builder
            .try_build_with_input_hashes(resolver(&modulo))
            .map_err(|error| resolution_error(&name, error))?;
        let derivation = Derivation::new(built.into_derivation())?;
        match derivation.outputs.values().all(Option::is_some) {
            true => Ok(derivation),
            false => Err(Error::Deferred { name }),
        }
    }
}

/// A look-up knew no answer.
#[derive(Debug, thiserror::Error)]
#[error("not at hand")]
struct NotAtHand;

/// The look-up as the crate has it.
fn resolver<'a>(
    modulo: &'a impl Fn(&StorePath) -> Option<Modulo>,
) -> impl FnMut(&nix::StorePath) -> Result<nix::InputDerivationHash, NotAtHand> + 'a {
    |path| {
        modulo(&StorePath(path.clone()))
            .map(|Modulo(hash)| hash)
            .ok_or(NotAtHand)
    }
}

fn invalid(name: &str, error: nix::Error) -> Error {
    Error::Invalid {
        name: name.to_owned(),
        reason: error.to_string(),
    }
}

fn resolution_error(name: &str, error: nix::InputResolutionError<NotAtHand>) -> Error {
    match error {
        nix::InputResolutionError::Resolve { path, .. } => Error::MissingInput {
            name: name.to_owned(),
            input: StorePath(path),
        },
        nix::InputResolutionError::Derivation(error) => invalid(name, error),
        error => Error::Invalid {
            name: name.to_owned(),
            reason: error.to_string(),
        },
    }
}

/// A derivation as a `.drv` file has it. `==` compares every field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation {
    inner: nix::Derivation,
    /// Where each output will be; `None` where only building it tells.
    outputs: BTreeMap<String, Option<StorePath>>,
}

impl Derivation {
    fn new(inner: nix::Derivation) -> Result<Self, Error> {
        let outputs = inner
            .resolved_outputs()
            .map_err(|error| invalid(inner.name(), error))?
            .into_iter()
            .map(|(name, output)| (name, output.path.map(StorePath)))
            .collect();
        Ok(Derivation { inner, outputs })
    }

    /// Reads the bytes of `<name>.drv`. Whether its paths are right is not asked:
    /// [`Derivation::check`] does.
    pub fn parse(bytes: &[u8], name: &str, store: &StoreDir) -> Result<Self, Error> {
        nix::Derivation::from_aterm_bytes_in(bytes, name, store.0.clone())
            .map_err(|error| Error::Parse {
                name: name.to_owned(),
                reason: error.to_string(),
            })
            .and_then(Derivation::new)
    }

    /// Reads the bytes of the store object `path`.
    pub fn parse_at(bytes: &[u8], path: &StorePath, store: &StoreDir) -> Result<Self, Error> {
        let name = path.name();
        Derivation::parse(bytes, name.strip_suffix(".drv").unwrap_or(name), store)
    }

    /// The bytes of the `.drv` file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.inner.to_aterm_bytes()
    }

    /// Where its `.drv` file lies.
    pub fn path(&self) -> Result<StorePath, Error> {
        self.inner
            .drv_path()
            .map(StorePath)
            .map_err(|error| invalid(self.name(), error))
    }

    /// What the `.drv` file refers to: input derivations and sources.
    pub fn references(&self) -> BTreeSet<StorePath> {
        let inputs = self.inner.input_derivations().keys();
        inputs
            .chain(self.inner.input_sources())
            .cloned()
            .map(StorePath)
            .collect()
    }

    /// What it needs.
    pub fn inputs(&self) -> Inputs {
        Inputs {
            derivations: self
                .inner
                .input_derivations()
                .iter()
                .map(|(path, input)| (StorePath(path.clone()), input.outputs().clone()))
                .collect(),
            sources: self
                .inner
                .input_sources()
                .iter()
                .cloned()
                .map(StorePath)
                .collect(),
        }
    }

    /// Where each output will be; `None` where only building it tells.
    pub fn outputs(&self) -> &BTreeMap<String, Option<StorePath>> {
        &self.outputs
    }

    /// Where an output will be.
    pub fn output(&self, name: &str) -> Option<&StorePath> {
        self.outputs.get(name)?.as_ref()
    }

    /// The name without `.drv`.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// Such as `x86_64-linux`.
    pub fn system(&self) -> &str {
        self.inner.system()
    }

    /// What is run.
    pub fn builder(&self) -> &str {
        self.inner.builder()
    }

    /// Its arguments.
    pub fn args(&self) -> &[String] {
        self.inner.arguments()
    }

    /// Its environment.
    pub fn env(&self) -> &BTreeMap<String, Vec<u8>> {
        self.inner.environment()
    }

    /// What stands for it in the paths of its users. `modulo` knows its own inputs.
    pub fn modulo(&self, modulo: impl Fn(&StorePath) -> Option<Modulo>) -> Result<Modulo, Error> {
        self.inner
            .try_hash_input_derivation_modulo(resolver(&modulo))
            .map(Modulo)
            .map_err(|error| resolution_error(self.name(), error))
    }

    /// Whether the outputs' paths are those that follow from the rest.
    pub fn check(&self, modulo: impl Fn(&StorePath) -> Option<Modulo>) -> Result<(), Error> {
        self.inner
            .try_validate_with_input_hashes(resolver(&modulo))
            .map_err(|error| resolution_error(self.name(), error))
    }
}

/// Derivations by path, each with its [`Modulo`]: what [`Recipe::derive`] looks up.
#[derive(Clone, Debug, Default)]
pub struct Known {
    modulos: BTreeMap<StorePath, Modulo>,
}

impl Known {
    /// Of a derivation that was inserted or read.
    pub fn get(&self, path: &StorePath) -> Option<Modulo> {
        self.modulos.get(path).copied()
    }

    /// Adds a derivation whose inputs are known; returns its path.
    pub fn insert(&mut self, derivation: &Derivation) -> Result<StorePath, Error> {
        let path = derivation.path()?;
        let modulo = derivation.modulo(|input| self.get(input))?;
        self.modulos.insert(path.clone(), modulo);
        Ok(path)
    }

    /// Adds the derivation at `path` and what it needs, as far as they are not known.
    /// `read` gives a derivation of the store; each is asked for at most once.
    pub fn read<E: From<Error>>(
        &mut self,
        path: &StorePath,
        read: &mut impl FnMut(&StorePath) -> Result<Derivation, E>,
    ) -> Result<(), E> {
        // Not by recursion: toolchains are hundreds of derivations deep.
        let mut open: Vec<(StorePath, Derivation, Vec<StorePath>)> = Vec::new();
        let mut next = (self.get(path).is_none()).then(|| path.clone());
        loop {
            if let Some(path) = next.take() {
                let derivation = read(&path)?;
                // What a fixed output is made from does not matter for its users.
                let inputs = match derivation.modulo(|_| None) {
                    Ok(_) => Vec::new(),
                    Err(_) => derivation.inputs().derivations.into_keys().collect(),
                };
                open.push((path, derivation, inputs));
            }
            let Some((path, derivation, inputs)) = open.last_mut() else {
                return Ok(());
            };
            match inputs.pop() {
                Some(input) if self.modulos.contains_key(&input) => {}
                Some(input) => next = Some(input),
                None => {
                    let modulo = derivation.modulo(|input| self.modulos.get(input).copied())?;
                    self.modulos.insert(path.clone(), modulo);
                    open.pop();
                }
            }
        }
    }
}

/// What stands for an output's path in the derivation's own strings (`builtins.placeholder`).
pub fn placeholder(output: &str) -> String {
    nix::store_path::hash_placeholder(output)
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::nix::store_path::tests::{names, store_paths};
    use crate::source::Sha256;

    fn none(_: &StorePath) -> Option<Modulo> {
        None
    }

    #[test]
    fn a_derivation_is_what_nix_instantiates() {
        // `derivation { name = "w"; system = "x86_64-linux"; builder = "/bin/sh";
        // args = [ "-c" "echo ${./b} $out > $out" ]; }`, with `hello2` in ./b.
        let text = r#"Derive([("out","/nix/store/55qx4qfffz8qjkg6rvbfnfi63p08a5n7-w","","")],[],["/nix/store/sms4nm2ljfxsa1qs30408nskzc6vgzrg-b"],"x86_64-linux","/bin/sh",["-c","echo /nix/store/sms4nm2ljfxsa1qs30408nskzc6vgzrg-b $out > $out"],[("builder","/bin/sh"),("name","w"),("out","/nix/store/55qx4qfffz8qjkg6rvbfnfi63p08a5n7-w"),("system","x86_64-linux")])"#;
        let store = StoreDir::default();
        let source: StorePath = "sms4nm2ljfxsa1qs30408nskzc6vgzrg-b".parse().unwrap();
        let script = format!("echo {} $out > $out", store.display(&source));
        let mut recipe = Recipe::new("w", "x86_64-linux", "/bin/sh").args(["-c", &script]);
        recipe.inputs.sources.insert(source.clone());
        let derivation = recipe.derive(&store, none).unwrap();
        assert_eq!(String::from_utf8(derivation.to_bytes()).unwrap(), text);
        let path = derivation.path().unwrap();
        assert_eq!(path.to_string(), "9naka7afy74rayridkxzybiid5vmqvkz-w.drv");
        assert_eq!(derivation.references(), BTreeSet::from([source]));
        let again = Derivation::parse_at(text.as_bytes(), &path, &store).unwrap();
        assert_eq!(again, derivation);
        again.check(none).unwrap();
    }

    #[test]
    fn what_is_no_derivation_is_refused() {
        let store = StoreDir::default();
        for text in ["", "Derive(", "Derive([],[],[],\"\",\"\",[],[])x"] {
            let error = Derivation::parse(text.as_bytes(), "a", &store).unwrap_err();
            assert!(error.hint().unwrap().contains("a.drv"), "{error}");
        }
    }

    #[test]
    fn a_wrong_output_path_is_found() {
        let store = StoreDir::default();
        let good = Recipe::new("a", "s", "b").derive(&store, none).unwrap();
        let text = String::from_utf8(good.to_bytes()).unwrap();
        let bad = text.replace("\"s\"", "\"t\"");
        let bad = Derivation::parse(bad.as_bytes(), "a", &store).unwrap();
        assert!(matches!(bad.check(none), Err(Error::Invalid { .. })));
    }

    #[test]
    fn a_missing_input_is_named() {
        let store = StoreDir::default();
        let input: StorePath = "9naka7afy74rayridkxzybiid5vmqvkz-w.drv".parse().unwrap();
        let mut recipe = Recipe::new("a", "s", "b");
        recipe.inputs.output(input.clone(), "out");
        let error = recipe.derive(&store, none).unwrap_err();
        assert!(error.to_string().contains(&input.to_string()), "{error}");
        assert!(error.hint().unwrap().contains("nix-instantiate"));
    }

    #[test]
    fn a_mirror_changes_the_derivation_and_no_path_of_its_users() {
        let store = StoreDir::default();
        let using = |url: &str| {
            let mut fetch = Recipe::new("a.tar", "builtin", "builtin:fetchurl").env("url", url);
            fetch.fixed = Some(ContentAddress::flat(Sha256::of(b"a")));
            let fetch = fetch.derive(&store, none).unwrap();
            let mut known = Known::default();
            let path = known.insert(&fetch).unwrap();
            let mut user = Recipe::new("user", "s", "b");
            user.inputs.output(path, "out");
            user.derive(&store, |path| known.get(path)).unwrap()
        };
        let (one, other) = (using("https://one"), using("https://other"));
        assert_ne!(one.path().unwrap(), other.path().unwrap());
        assert_eq!(one.output("out"), other.output("out"));
    }

    #[test]
    fn a_deep_chain_is_read_once_each_and_without_recursion() {
        let store = StoreDir::default();
        let mut known = Known::default();
        let mut files: BTreeMap<StorePath, Derivation> = BTreeMap::new();
        let mut last: Vec<StorePath> = Vec::new();
        for number in 0..3000 {
            let mut recipe = Recipe::new(format!("d{number}"), "s", "b");
            for path in last.iter().rev().take(2) {
                recipe.inputs.output(path.clone(), "out");
            }
            let derivation = recipe.derive(&store, |path| known.get(path)).unwrap();
            let path = known.insert(&derivation).unwrap();
            files.insert(path.clone(), derivation);
            last.push(path);
        }
        let top = last.last().unwrap();
        let mut reads = 0;
        let mut read = Known::default();
        read.read::<Error>(top, &mut |path| {
            reads += 1;
            Ok(files[path].clone())
        })
        .unwrap();
        assert_eq!((read.get(top), reads), (known.get(top), 3000));
    }

    /// Recipes with every field, whose input derivations are made up.
    fn recipes() -> impl Strategy<Value = Recipe> {
        let text = "[ -~\n\t\r\"\\\\äß]{0,20}";
        (
            names(),
            text.prop_filter("a builder", |text| !text.is_empty()),
            vec(text, 0..4),
            btree_map("[a-zA-Z_]{2,8}", vec(any::<u8>(), 0..12), 0..5),
            btree_set("[a-z]{1,6}", 0..4),
            proptest::option::of(any::<[u8; 32]>()),
            vec(store_paths(), 0..4),
        )
            .prop_map(|(name, builder, args, env, outputs, fixed, sources)| {
                let mut recipe = Recipe::new(name, "x86_64-linux", builder).args(args);
                recipe.env = env;
                recipe.env.remove("__json");
                match fixed {
                    Some(bytes) => {
                        let hash = Sha256::from_bytes(bytes);
                        recipe.fixed = Some(ContentAddress::recursive(hash));
                    }
                    None => recipe.outputs = outputs.into_iter().collect(),
                }
                recipe.outputs.retain(|name| name != "drv");
                recipe.inputs.sources.extend(sources);
                recipe
            })
    }

    proptest! {
        #[test]
        fn derivations_read_what_they_write(recipe in recipes()) {
            let store = StoreDir::default();
            let derivation = recipe.derive(&store, none).unwrap();
            let path = derivation.path().unwrap();
            let again = Derivation::parse_at(&derivation.to_bytes(), &path, &store).unwrap();
            again.check(none).unwrap();
            prop_assert_eq!(again.path().unwrap(), path);
            prop_assert_eq!(again, derivation);
        }
    }
}
