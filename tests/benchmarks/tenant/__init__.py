"""The parts that a judged world is made of: places, apps, people, machines, weather and trouble."""
