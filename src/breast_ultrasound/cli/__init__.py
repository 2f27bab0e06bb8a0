"""The command `breast-ultrasound`: one module per subcommand."""
