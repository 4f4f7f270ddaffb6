extension TOMLReader {
    /// A truth value, a number, a date or a time.
    mutating func scalarValue() throws(TOMLError) -> TOMLValue {
        let start = place
        var text = word(Self.belongsToScalar)
        if next == " ", Self.isDate(text) {                                         // a blank may stand between date and time
            var ahead = self
            ahead.advance()
            let time = ahead.word(Self.belongsToScalar)
            if time.first?.isNumber == true {
                text += " " + time
                self = ahead
            }
        }
        if text.isEmpty { throw unexpected("a value") }
        guard let value = Self.scalar(text) else { throw error(Self.complaint(text), at: start) }
        return value
    }

    private static func belongsToScalar(_ scalar: Unicode.Scalar) -> Bool { scalar.isBareKey || scalar == "+" || scalar == "." || scalar == ":" }

    private static func scalar(_ text: String) -> TOMLValue? {
        switch text {
        case "true": .boolean(true)
        case "false": .boolean(false)
        case "inf", "+inf": .float(.infinity)
        case "-inf": .float(-.infinity)
        case "nan", "+nan", "-nan": .float(.nan)
        default: integer(text).map(TOMLValue.integer) ?? float(text).map(TOMLValue.float) ?? (isDateTime(text) ? .dateTime(text) : nil)
        }
    }

    /// What to say of a word that is no value, with what was probably meant.
    private static func complaint(_ text: String) -> String {
        let shown = "“\(text.prefix(40))”"
        switch text.lowercased() {
        case "true", "false": return "expected a value, found \(shown), which is written \(text.lowercased())"
        case "none", "null", "nil": return "expected a value, found \(shown); leave the line out instead"
        default: break
        }
        guard let first = text.first, first.isNumber || "+-.".contains(first) else { return "expected a value, found \(shown); text stands in quotes" }
        if wholeDigits(text) != nil { return "\(shown) is outside −2⁶³ to 2⁶³ − 1, the whole numbers that TOML has" }
        return "\(shown) is no number, date or time as TOML writes them (1, 0.5, 1e-4, 2024-01-31); text stands in quotes"
    }

    // MARK: Numbers

    private static func integer(_ text: String) -> Int? { wholeDigits(text).flatMap { Int($0.digits, radix: $0.radix) } }

    /// The digits of a whole number with its sign, underscores taken out, and its base.
    private static func wholeDigits(_ text: String) -> (digits: String, radix: Int)? {
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where text.hasPrefix(prefix) {
            return digits(text.dropFirst(2), radix: radix).map { ($0, radix) }
        }
        return decimal(text[...]).map { ($0, 10) }
    }

    /// `-12_000` without underscores: no zero in front of other digits.
    private static func decimal(_ text: Substring) -> String? {
        let sign = text.first == "+" || text.first == "-" ? text.prefix(1) : ""
        guard let digits = digits(text.dropFirst(sign.count)), digits == "0" || digits.first != "0" else { return nil }
        return sign + digits
    }

    /// Digits without the underscores, each of which must stand between two digits.
    private static func digits(_ text: Substring, radix: Int = 10) -> String? {
        let groups = text.split(separator: "_", omittingEmptySubsequences: false)
        let areDigits = groups.allSatisfy { group in !group.isEmpty && group.utf8.allSatisfy { isDigit($0, radix) } }
        return areDigits ? groups.joined() : nil
    }

    private static func isDigit(_ byte: UInt8, _ radix: Int) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte) - 48 < radix
        case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): radix == 16
        default: false
        }
    }

    /// `-1.5e-3`: digits on both sides of the point, a point or an exponent.
    private static func float(_ text: String) -> Double? {
        let parts = text.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == "e" || $0 == "E" }
        let mantissa = parts[0].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count + mantissa.count > 2, let whole = decimal(mantissa[0]) else { return nil }
        var written = whole
        if mantissa.count > 1 {
            guard let fraction = digits(mantissa[1]) else { return nil }
            written += "." + fraction
        }
        if parts.count > 1 {
            let sign = parts[1].first == "+" || parts[1].first == "-" ? parts[1].prefix(1) : ""
            guard let exponent = digits(parts[1].dropFirst(sign.count)) else { return nil }
            written += "e" + sign + exponent
        }
        return Double(written)
    }

    // MARK: Dates and times (RFC 3339)

    private static func isDateTime(_ text: String) -> Bool {
        if isDate(text) || isTime(text) { return true }
        let date = text.prefix(10), rest = text.dropFirst(10)
        guard isDate(String(date)), let separator = rest.first, "Tt ".contains(separator) else { return false }
        let time = rest.dropFirst()
        if time.last == "Z" || time.last == "z" { return isTime(String(time.dropLast())) }
        if let sign = time.dropLast(5).isEmpty ? nil : time.suffix(6).first, sign == "+" || sign == "-" {
            return isOffset(time.suffix(5)) && isTime(String(time.dropLast(6)))
        }
        return isTime(String(time))
    }

    /// Numbers between separators: `fields("12:30", "dd:dd")` is `[12, 30]`; nil for another shape.
    private static func fields(_ text: some StringProtocol, _ shape: String) -> [Int]? {
        guard text.utf8.count == shape.utf8.count else { return nil }
        var fields = [0]
        for (byte, wanted) in zip(text.utf8, shape.utf8) {
            if wanted != UInt8(ascii: "d") {
                guard byte == wanted else { return nil }
                fields.append(0)
            } else {
                guard isDigit(byte, 10) else { return nil }
                fields[fields.count - 1] = fields[fields.count - 1] * 10 + Int(byte) - 48
            }
        }
        return fields
    }

    private static func isDate(_ text: String) -> Bool {
        guard let date = fields(text, "dddd-dd-dd"), (1...12).contains(date[1]) else { return false }
        let isLeap = date[0] % 4 == 0 && (date[0] % 100 != 0 || date[0] % 400 == 0)
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return (1...days[date[1] - 1]).contains(date[2])
    }

    /// A second of 60 is a leap second.
    private static func isTime(_ text: String) -> Bool {
        guard let time = fields(text.prefix(8), "dd:dd:dd"), time[0] < 24, time[1] < 60, time[2] <= 60 else { return false }
        let fraction = text.dropFirst(8)
        return fraction.isEmpty || fraction.first == "." && fraction.count > 1 && fraction.dropFirst().utf8.allSatisfy { isDigit($0, 10) }
    }

    private static func isOffset(_ text: Substring) -> Bool {
        guard let offset = fields(text, "dd:dd") else { return false }
        return offset[0] < 24 && offset[1] < 60
    }
}
