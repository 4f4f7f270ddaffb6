import Text

/// JSON as it stands in the four JSON frames of a message.
public typealias JSON = Text.JSON
