"""What is kept on disk: results that ship and results of this machine, each with its checksum."""
