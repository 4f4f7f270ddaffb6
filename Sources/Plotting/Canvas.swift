import CCairo
import Imaging

/// A place and a size in points: the canvas multiplies them by its scale to get pixels.
struct Rectangle {
    var x, y, width, height: Double
    var right: Double { x + width }
    var bottom: Double { y + height }
    func inset(_ by: Double) -> Rectangle { Rectangle(x: x + by, y: y + by, width: width - 2 * by, height: height - 2 * by) }
}

/// How a text is set.
struct TextStyle {
    enum Ellipsis { case end, middle }
    enum Alignment { case left, centre, right }
    var size: Double
    var colour = Colour.ink
    var isBold = false
    var alignment = Alignment.left
    /// Points to wrap at; nil sets one line of any width.
    var width: Double?
    /// What does not fit into so many lines ends in an ellipsis.
    var lines = 1
    var ellipsis = Ellipsis.end
}

/// A drawing surface in points, over Cairo and Pango. Used by one thread at a time.
final class Canvas {
    /// Inter for Latin letters and DejaVu where it is missing; Chinese comes from Noto. In this order, because Noto's CJK fonts
    /// would set quotation marks and dots within Latin text in the width of a Chinese letter.
    private static let fonts = "Inter, DejaVu Sans, Noto Sans CJK SC, Sans"

    let width: Double, height: Double, scale: Double
    private let surface: OpaquePointer
    private let context: OpaquePointer

    init(width: Double, height: Double, scale: Double) {
        (self.width, self.height, self.scale) = (width, height, scale)
        surface = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, Int32((width * scale).rounded(.up)), Int32((height * scale).rounded(.up)))
        context = cairo_create(surface)
        cairo_scale(context, scale, scale)
        cairo_set_line_join(context, CAIRO_LINE_JOIN_ROUND)
        cairo_set_line_cap(context, CAIRO_LINE_CAP_ROUND)
    }

    deinit {
        cairo_destroy(context)
        cairo_surface_destroy(surface)
    }

    private func use(_ colour: Colour) { cairo_set_source_rgba(context, colour.red, colour.green, colour.blue, colour.opacity) }

    // MARK: Shapes

    private func path(_ r: Rectangle, radius: Double) {
        guard radius > 0 else { return cairo_rectangle(context, r.x, r.y, r.width, r.height) }
        let corner = min(radius, r.width / 2, r.height / 2)
        cairo_new_sub_path(context)
        cairo_arc(context, r.right - corner, r.y + corner, corner, -.pi / 2, 0)
        cairo_arc(context, r.right - corner, r.bottom - corner, corner, 0, .pi / 2)
        cairo_arc(context, r.x + corner, r.bottom - corner, corner, .pi / 2, .pi)
        cairo_arc(context, r.x + corner, r.y + corner, corner, .pi, 3 * .pi / 2)
        cairo_close_path(context)
    }

    func fill(_ r: Rectangle, _ colour: Colour, radius: Double = 0) {
        use(colour)
        path(r, radius: radius)
        cairo_fill(context)
    }

    func stroke(_ r: Rectangle, _ colour: Colour, width: Double = 1, radius: Double = 0) {
        use(colour)
        cairo_set_line_width(context, width)
        path(r, radius: radius)
        cairo_stroke(context)
    }

    func dot(_ x: Double, _ y: Double, radius: Double, _ colour: Colour, ring: Colour? = nil) {
        if let ring {
            use(ring)
            cairo_arc(context, x, y, radius + 1.5, 0, 2 * .pi)
            cairo_fill(context)
        }
        use(colour)
        cairo_arc(context, x, y, radius, 0, 2 * .pi)
        cairo_fill(context)
    }

    func line(_ x0: Double, _ y0: Double, _ x1: Double, _ y1: Double, _ colour: Colour, width: Double = 1, dashes: [Double] = []) {
        polyline([(x0, y0), (x1, y1)], colour, width: width, dashes: dashes)
    }

    func polyline(_ points: [(x: Double, y: Double)], _ colour: Colour, width: Double, dashes: [Double] = []) {
        use(colour)
        cairo_set_line_width(context, width)
        cairo_set_dash(context, dashes, Int32(dashes.count), 0)
        // Cairo's time for a stroke grows faster than its number of segments: pieces that share an end point stay cheap.
        let piece = dashes.isEmpty ? 128 : max(1, points.count)
        for start in stride(from: 0, to: max(1, points.count - 1), by: piece) where start < points.count {
            cairo_move_to(context, points[start].x, points[start].y)
            for i in (start + 1)..<max(start + 1, min(points.count, start + piece + 1)) { cairo_line_to(context, points[i].x, points[i].y) }
            cairo_stroke(context)
        }
        cairo_set_dash(context, nil, 0, 0)
    }

    /// Vertical spans, each as wide as one pixel, on whole pixels: thousands of them cost little more than one.
    func columns(_ spans: [(x: Double, top: Double, bottom: Double)], _ colour: Colour) {
        use(colour)
        cairo_save(context)
        cairo_set_antialias(context, CAIRO_ANTIALIAS_NONE)
        for span in spans {
            let top = (span.top * scale).rounded(.down) / scale, bottom = (span.bottom * scale).rounded(.up) / scale
            cairo_rectangle(context, (span.x * scale).rounded(.down) / scale, top, 1 / scale, max(bottom - top, 1 / scale))
        }
        cairo_fill(context)
        cairo_restore(context)
    }

    /// Draws with everything outside of `r` left as it is.
    func clipped(to r: Rectangle, radius: Double = 0, _ body: () -> Void) {
        cairo_save(context)
        path(r, radius: radius)
        cairo_clip(context)
        body()
        cairo_restore(context)
    }

    // MARK: Text

    /// Width and height in points that `text` takes.
    func measure(_ text: String, _ style: TextStyle) -> (width: Double, height: Double) {
        withLayout(text, style) { layout in
            var width: Int32 = 0, height: Int32 = 0
            pango_layout_get_size(layout, &width, &height)
            return (Double(width) / Double(PANGO_SCALE), Double(height) / Double(PANGO_SCALE))
        }
    }

    /// Sets `text` with its top at y. A style with a width fills the box that begins at x; one without is placed
    /// left of, around or right of x by its alignment.
    @discardableResult
    func text(_ text: String, x: Double, y: Double, _ style: TextStyle) -> (width: Double, height: Double) {
        withLayout(text, style) { layout in
            var width: Int32 = 0, height: Int32 = 0
            pango_layout_get_size(layout, &width, &height)
            let size = (width: Double(width) / Double(PANGO_SCALE), height: Double(height) / Double(PANGO_SCALE))
            let shift = style.width != nil ? 0 : style.alignment == .left ? 0 : style.alignment == .centre ? size.width / 2 : size.width
            use(style.colour)
            cairo_move_to(context, x - shift, y)
            pango_cairo_show_layout(context, layout)
            return size
        }
    }

    private func withLayout<R>(_ text: String, _ style: TextStyle, _ body: (OpaquePointer) -> R) -> R {
        let layout = pango_cairo_create_layout(context)!
        defer { g_object_unref(UnsafeMutableRawPointer(layout)) }
        let options = cairo_font_options_create()
        cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE)
        cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF)
        cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY)
        pango_cairo_context_set_font_options(pango_layout_get_context(layout), options)
        // Letters stand where the font's designer put them, not on whole points.
        pango_context_set_round_glyph_positions(pango_layout_get_context(layout), 0)
        cairo_font_options_destroy(options)
        let font = pango_font_description_from_string(Self.fonts)
        pango_font_description_set_absolute_size(font, style.size * Double(PANGO_SCALE))
        pango_font_description_set_weight(font, style.isBold ? PANGO_WEIGHT_BOLD : PANGO_WEIGHT_NORMAL)
        pango_layout_set_font_description(layout, font)
        pango_font_description_free(font)
        // C strings end at NUL, and Pango draws boxes for control characters.
        let clean = String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 32 && $0 != "\n" || $0.value == 127 ? " " : $0 }))
        pango_layout_set_text(layout, clean, -1)
        pango_layout_set_alignment(layout, style.alignment == .left ? PANGO_ALIGN_LEFT : style.alignment == .centre ? PANGO_ALIGN_CENTER : PANGO_ALIGN_RIGHT)
        if let width = style.width {
            pango_layout_set_width(layout, Int32(max(1, width) * Double(PANGO_SCALE)))
            pango_layout_set_wrap(layout, PANGO_WRAP_WORD_CHAR)
            pango_layout_set_height(layout, -Int32(style.lines))
            pango_layout_set_ellipsize(layout, style.ellipsis == .end ? PANGO_ELLIPSIZE_END : PANGO_ELLIPSIZE_MIDDLE)
        }
        return body(layout)
    }

    // MARK: Pictures

    /// Draws the whole of `picture` inside of `r`, as large as it fits, centred; returns where it came to lie.
    @discardableResult
    func picture(_ picture: Pixels, in r: Rectangle, radius: Double = 0) -> Rectangle {
        guard picture.width > 0, picture.height > 0 else { return r }
        let fit = min(r.width / Double(picture.width), r.height / Double(picture.height))
        let width = max(1, (Double(picture.width) * fit * scale).rounded()), height = max(1, (Double(picture.height) * fit * scale).rounded())
        // On whole pixels, so that nothing is blurred a second time.
        let place = Rectangle(
            x: ((r.x + r.width / 2) * scale - width / 2).rounded() / scale, y: ((r.y + r.height / 2) * scale - height / 2).rounded() / scale,
            width: width / scale, height: height / scale)
        let shown = picture.flattened().resized(width: Int(width), height: Int(height), filter: width < Double(picture.width) ? .area : .lanczos)
        var bgrx = [UInt32](repeating: 0, count: shown.width * shown.height)
        for i in bgrx.indices { bgrx[i] = UInt32(shown.rgb[3 * i]) << 16 | UInt32(shown.rgb[3 * i + 1]) << 8 | UInt32(shown.rgb[3 * i + 2]) }
        bgrx.withUnsafeMutableBytes { bytes in
            let image = cairo_image_surface_create_for_data(
                bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), CAIRO_FORMAT_RGB24, Int32(shown.width), Int32(shown.height), Int32(4 * shown.width))
            cairo_save(context)
            cairo_translate(context, place.x, place.y)
            cairo_scale(context, 1 / scale, 1 / scale)
            cairo_set_source_surface(context, image, 0, 0)
            cairo_pattern_set_filter(cairo_get_source(context), CAIRO_FILTER_NEAREST)
            path(Rectangle(x: 0, y: 0, width: width, height: height), radius: radius * scale)
            cairo_fill(context)
            cairo_restore(context)
            cairo_surface_destroy(image)
        }
        return place
    }

    // MARK: Result

    /// What has been drawn, with its opacity where the canvas was not covered.
    func pixels() -> Pixels {
        cairo_surface_flush(surface)
        let width = Int(cairo_image_surface_get_width(surface)), height = Int(cairo_image_surface_get_height(surface))
        guard let data = cairo_image_surface_get_data(surface), width > 0, height > 0 else { return Pixels(width: 0, height: 0, rgb: []) }
        let stride = Int(cairo_image_surface_get_stride(surface)), count = width * height
        var alpha = [UInt8](repeating: 255, count: count), isOpaque = true
        let rgb = [UInt8](unsafeUninitializedCapacity: 3 * count) { target, filled in
            alpha.withUnsafeMutableBufferPointer { alpha in
                var to = target.baseAddress!, opacity = alpha.baseAddress!
                for y in 0..<height {
                    let row = UnsafeRawPointer(data + y * stride).assumingMemoryBound(to: UInt32.self)
                    for x in 0..<width {
                        let (r, g, b, a) = Self.straight(row[x])
                        (to[0], to[1], to[2], opacity[0]) = (r, g, b, a)
                        if a < 255 { isOpaque = false }
                        to += 3
                        opacity += 1
                    }
                }
            }
            filled = 3 * count
        }
        return Pixels(width: width, height: height, rgb: rgb, alpha: isOpaque ? nil : alpha)
    }

    /// Cairo's colours are multiplied by their opacity; files want them plain.
    @inline(__always)
    private static func straight(_ argb: UInt32) -> (UInt8, UInt8, UInt8, UInt8) {
        let a = argb >> 24
        var (r, g, b) = (argb >> 16 & 255, argb >> 8 & 255, argb & 255)
        if a < 255, a > 0 { (r, g, b) = (min(255, r * 255 / a), min(255, g * 255 / a), min(255, b * 255 / a)) }
        return (UInt8(truncatingIfNeeded: r), UInt8(truncatingIfNeeded: g), UInt8(truncatingIfNeeded: b), UInt8(truncatingIfNeeded: a))
    }
}

extension Canvas {
    /// Points between the card's border and what stands on it.
    static let margin = 22.0
    private static let corner = 10.0

    /// The light card with rounded corners that everything stands on.
    func card() {
        let r = Rectangle(x: 0, y: 0, width: width, height: height)
        fill(r, .card, radius: Self.corner)
        stroke(r.inset(0.5), .border, radius: Self.corner - 0.5)
    }

    /// Title and subtitle at the top left; returns where what follows may begin.
    func heading(_ title: String, _ subtitle: String, width: Double) -> Double {
        var y = Self.margin - 4
        if !title.isEmpty {
            y += text(title, x: Self.margin, y: y, TextStyle(size: 17, isBold: true, width: width, lines: 2)).height + 1
        }
        if !subtitle.isEmpty {
            y += text(subtitle, x: Self.margin, y: y, TextStyle(size: 12.5, colour: .muted, width: width, lines: 3)).height + 2
        }
        return y
    }
}
