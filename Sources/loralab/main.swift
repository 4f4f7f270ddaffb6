print("loralab")
