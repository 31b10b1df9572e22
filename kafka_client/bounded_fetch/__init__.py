"""What is fetched by aiokafka, bounded: a broker bounds it by what it weighs compressed only. For the worker and for replays."""
