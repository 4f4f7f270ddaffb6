import Bench

// `loralab bench` on its own: for machines that have neither the notebook's libraries nor Swift.
BenchCommand.main()
