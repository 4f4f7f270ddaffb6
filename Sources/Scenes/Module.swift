// Module Scenes.
