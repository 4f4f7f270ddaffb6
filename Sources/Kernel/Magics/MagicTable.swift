import Text

/// The magics of a kernel, found by name.
package struct MagicTable: Sendable {
    private let magics: [String: any Magic]
    /// In alphabetical order.
    package let specifications: [MagicSpecification]

    /// - Parameter given: the kernel's own; one named like a built-in magic takes its place.
    package init(_ given: [any Magic]) {
        var table: [String: any Magic] = [:]
        for magic in given {
            let name = normalizedName(magic.specification.name)
            precondition(table[name] == nil, "two magics are called %\(name)")
            table[name] = magic
        }
        for magic in BuiltinMagics.all() {
            let name = normalizedName(magic.specification.name)
            if table[name] == nil { table[name] = magic }
        }
        specifications = (table.values.map(\.specification) + BuiltinMagics.helpSpecifications).sorted { $0.name < $1.name }
        for magic in BuiltinMagics.help(on: specifications) { table[normalizedName(magic.specification.name)] = magic }
        magics = table
    }

    package subscript(_ name: String) -> (any Magic)? { magics[normalizedName(name)] }

    /// - Throws: `MagicError` naming the nearest magic.
    package func magic(named name: String, marker: String) throws(MagicError) -> any Magic {
        if let magic = self[name] { return magic }
        let nearest = nearestName(to: name, among: specifications.map(\.name))
        throw MagicError(
            "UsageError", "magic \(marker)\(name) not found", hint: nearest.map { "Did you mean %\($0)? %lsmagic lists all magics." } ?? "%lsmagic lists all magics.")
    }
}
